/// Regular expressions as tokenizer.json files use them: the syntax and the meaning of Oniguruma over UTF-8 (Unicode 16), without captures.
/// A pattern is compiled once for a backtracking machine that decides by the next byte what it need not try.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace fedlora::regex {

struct Program;

/// Constant after construction: threads may share one.
class Regex {
 public:
  /// E_TOKENIZER, naming the construct and its byte, when the pattern is malformed or uses what is not supported: back references, calls,
  /// conditions, absent functions, \K, \X, \y, options other than i, m and x.
  explicit Regex(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  const std::string& pattern() const { return pattern_; }

  /// The leftmost match that begins at or behind byte `from`; look-behind and anchors see what stands before. `text` is valid UTF-8, `from`
  /// begins a character or is the end. E_TOKENIZER when a text makes the pattern backtrack without end.
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;

  /// Every match in order: `visit(begin, end)`. An empty match where the last match ended does not count.
  template <typename Visit>
  void find_all(std::string_view text, Visit visit) const {
    size_t from = 0, last_end = std::string_view::npos, begin = 0, end = 0;
    while (from <= text.size() && find(text, from, begin, end)) {
      if (begin == end && end == last_end) {
        from = next_character(text, from);
        continue;
      }
      from = last_end = end;
      visit(begin, end);
    }
  }

 private:
  static size_t next_character(std::string_view text, size_t from);

  std::string pattern_;
  std::unique_ptr<const Program> program_;
};

}  // namespace fedlora::regex
