/// Cuts texts at what a pattern finds, in one of the five behaviours of tokenizer.json.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "regex/regex.h"
#include "tokenizer/place.h"
#include "tokenizer/pre_tokenizers.h"

namespace fedlora::tokenizer {

/// What becomes of a delimiter: left out; a word of its own; a part of the word before it or behind it; one word with its neighbours.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
Behavior read_behavior(const Place& place);

/// A part of a text: a delimiter, or what lies between two. The parts of a text cover it.
struct Part {
  uint32_t begin, end;
  bool delimiter;
};

/// Appends the words that `parts` give; `base` is where their text begins. `parts` are used up.
void append_words(std::vector<Part>& parts, Behavior behavior, uint32_t base, std::vector<Range>& out);

/// A text or a regular expression to look for: { "String": … } or { "Regex": … }.
class Pattern {
 public:
  explicit Pattern(const Place& place);
  /// The first place at or behind `from` where it matches.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;
  /// Calls `each(begin, end, matches)` for the matches and what lies between; together they cover the text. No match lies directly
  /// behind another and is empty.
  template <class Each>
  void for_each(std::string_view text, Each each) const;

 private:
  std::string literal_;
  std::unique_ptr<regex::Regex> regex_;
};

template <class Each>
void Pattern::for_each(std::string_view text, Each each) const {
  size_t done = 0, from = 0, begin = 0, end = 0;
  bool matched = false;  // a match ends at `done`
  while (from <= text.size() && find(text, from, begin, end)) {
    if (begin == end && matched && end == done) {  // one character further
      do ++from;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0) == 0x80);
      continue;
    }
    if (done != begin) each(done, begin, false);
    each(begin, end, true);
    done = from = end, matched = true;
  }
  if (done != text.size()) each(done, text.size(), false);
}

}  // namespace fedlora::tokenizer
