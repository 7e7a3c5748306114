/// How the normalizers change a text and keep it beside its source, as the reference's NormalizedString does it: also where its alignment
/// is odd, for offsets must equal the reference's.
#pragma once
#include <string_view>
#include <vector>

#include "tokenizer/text.h"
#include "unicode/normalize.h"

namespace fedlora::tokenizer {

using unicode::Change;

/// The text becomes the characters of `changes`. The first `removed` characters are gone before them.
void transform(AlignedText& text, const std::vector<Change>& changes, size_t removed);

/// Keeps the characters that `keep` accepts.
template <typename Keep>
void filter(AlignedText& text, Keep keep);

/// Each character becomes `map(character)`.
template <typename Map>
void map_characters(AlignedText& text, Map map);

/// Replaces [begin, end) pieces of the text, given in order, by `content`.
void replace_pieces(AlignedText& text, const std::vector<Span>& pieces, std::string_view content);

}  // namespace fedlora::tokenizer

#include "unicode/utf8.h"

namespace fedlora::tokenizer {

template <typename Keep>
void filter(AlignedText& text, Keep keep) {
  bool all = true;
  for (size_t at = 0; at < text.text.size() && all;) all = keep(unicode::decode(text.text, at));
  if (all) return;
  std::vector<Change> kept;
  size_t leading = 0;
  for (size_t at = 0; at < text.text.size();) {
    const char32_t code = unicode::decode(text.text, at);
    if (keep(code)) {
      kept.push_back({code, 0});
    } else if (kept.empty()) {
      ++leading;
    } else {
      --kept.back().change;
    }
  }
  transform(text, kept, kept.empty() ? 0 : leading);
}

template <typename Map>
void map_characters(AlignedText& text, Map map) {
  bool equal = true;
  for (size_t at = 0; at < text.text.size() && equal;) {
    const char32_t code = unicode::decode(text.text, at);
    equal = map(code) == code;
  }
  if (equal) return;
  std::vector<Change> changes;
  changes.reserve(text.text.size());
  for (size_t at = 0; at < text.text.size();) changes.push_back({map(unicode::decode(text.text, at)), 0});
  transform(text, changes, 0);
}

}  // namespace fedlora::tokenizer
