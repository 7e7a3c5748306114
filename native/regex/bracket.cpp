#include "regex/bracket.h"

#include <algorithm>
#include <optional>
#include <string>

#include "regex/escape.h"
#include "regex/syntax.h"
#include "unicode/case.h"

namespace fedlora::regex {

using unicode::CodeSet;

namespace {
/// [:name:] or [:^name:], whose `[` was taken; nothing when this is no POSIX bracket.
std::optional<CodeSet> read_posix(Reader& reader, size_t begin) {
  if (reader.peek() != ':') return std::nullopt;
  size_t length = 1;
  while (length < 20 && (reader.peek(length) == '^' || (reader.peek(length) >= 'a' && reader.peek(length) <= 'z') ||
                         (reader.peek(length) >= 'A' && reader.peek(length) <= 'Z'))) {
    ++length;
  }
  if (reader.peek(length) != ':' || reader.peek(length + 1) != ']') return std::nullopt;
  std::string_view name = reader.rest().substr(1, length - 1);
  reader.go_back_to(reader.position() + length + 2);
  const bool negative = name.starts_with('^');
  if (negative) name.remove_prefix(1);
  CodeSet set = property(reader, begin, name);
  return negative ? set.inverted() : set;
}

/// One class while it is read.
class Bracket {
 public:
  Bracket(Reader& reader, size_t begin, bool fold, int depth) : reader_(reader), begin_(begin), fold_(fold), depth_(depth) {}

  CodeSet read() {
    if (depth_ > deepest_nesting) reader_.refuse_at(begin_, "classes nested too deep");
    const bool negative = reader_.take("^");
    if (reader_.peek() == ']') {  // the first character of a class, unless it would leave the class without an end
      if (reader_.rest().find(']', 1) == std::string_view::npos) reader_.refuse_at(begin_, "an empty class");
      range_from(reader_.take());
    }
    while (!reader_.take("]")) {
      if (reader_.done()) reader_.refuse_at(begin_, "a class is not closed");
      if (reader_.take("&&")) {
        intersect();
      } else {
        item();
      }
    }
    if (seen_and_) intersect();
    const CodeSet set = seen_and_ ? intersection_ : fold_ ? folded(set_) : set_;
    return negative ? set.inverted() : set;
  }

 private:
  /// A character that was taken, and the range that it may begin.
  void range_from(char32_t first) {
    if (reader_.peek() != '-' || reader_.peek(1) == ']' || (reader_.peek(1) == '&' && reader_.peek(2) == '&')) {
      set_.add(first, first);
      return;
    }
    const size_t dash = reader_.position();
    reader_.take();
    char32_t last = reader_.take();
    if (last == '[') reader_.refuse_at(dash, "a range to a class");
    if (last == '\\') {
      const Escape escape = read_escape(reader_, dash + 1, true);
      if (escape.kind != Escape::Kind::code) reader_.refuse_at(dash, "a range to a class");
      last = escape.code;
    }
    if (last < first) reader_.refuse_at(dash, "a range from a greater to a smaller character");
    set_.add(first, last);
  }

  void add_set(const CodeSet& set) {
    if (reader_.peek() == '-' && reader_.peek(1) != ']' && !closed_by_nested_) reader_.refuse("a range from a class");
    set_.add(set);
  }

  void item() {
    const size_t begin = reader_.position();
    const char32_t code = reader_.take();
    closed_by_nested_ = false;
    if (code == '[') {
      if (auto posix = read_posix(reader_, begin)) return add_set(*posix);
      closed_by_nested_ = true;
      return add_set(Bracket(reader_, begin, fold_, depth_ + 1).read());
    }
    if (code != '\\') return range_from(code);
    Escape escape = read_escape(reader_, begin, true);
    if (escape.kind == Escape::Kind::set) return add_set(escape.set);
    range_from(escape.code);
  }

  void intersect() {
    const CodeSet side = fold_ ? folded(set_) : set_;
    intersection_ = seen_and_ ? intersection_.intersected(side) : side;
    seen_and_ = true;
    set_ = {};
  }

  Reader& reader_;
  size_t begin_;
  bool fold_;
  int depth_;
  bool closed_by_nested_ = false;  // the last item was a nested class, behind which - is a character
  bool seen_and_ = false;
  CodeSet set_, intersection_;
};
}  // namespace

CodeSet folded(const CodeSet& set) {
  CodeSet out = set;
  for (const std::u32string& group : unicode::case_groups()) {
    if (std::none_of(group.begin(), group.end(), [&](char32_t code) { return set.contains(code); })) continue;
    for (const char32_t code : group) out.add(code, code);
  }
  return out;
}

CodeSet read_bracket(Reader& reader, size_t begin, bool fold, int depth) { return Bracket(reader, begin, fold, depth).read(); }

}  // namespace fedlora::regex
