/// The backtracking machine. Ways back lie on an explicit stack; only look-around and atomic groups call the machine again, as deep as
/// they nest in the pattern. Steps are counted: a pattern that backtracks without end is refused, never waited for.
#include <bit>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "regex/escape.h"
#include "regex/program.h"
#include "regex/regex.h"
#include "unicode/utf8.h"

namespace fedlora::regex {

namespace {
constexpr size_t no_match = ~size_t{0};
/// Steps that one search may take, beside some for each byte of the text: a fraction of a second.
constexpr size_t base_steps = 20'000'000, steps_a_byte = 64;
/// Ways back at a time, 64 MB of them, and how many a thread keeps room for.
constexpr size_t most_ways = 2'000'000, kept_ways = 65'536;

using Kind = Instruction::Kind;

/// A way back: other alternatives at `position`, characters that a run may give back, or the old value of a slot.
struct WayBack {
  enum class Kind : uint32_t { choice, run, slot };
  Kind kind;
  uint32_t at;      // the instruction; for a slot its number
  size_t position;  // where the machine stands; for a slot the old value
  size_t rest;      // choice: bits of the alternatives left; run: the position that it may not go back beyond
};

bool is_word(char32_t code) {
  static const unicode::CodeTable table(word_characters());
  return table.contains(code);
}

class Machine {
 public:
  Machine(const Program& program, std::string_view text, size_t from, std::vector<WayBack>& stack)
      : program_(program), text_(text), from_(from), stack_(stack), steps_left_(base_steps + steps_a_byte * text.size()) {
    slots_.resize(program.slots, no_match);
  }

  bool exhausted() const { return exhausted_; }

  /// The end of the match of the program at `at` that begins at `position`, or no_match.
  size_t match(uint32_t at, size_t position) { return run(at, position, no_match); }

 private:
  size_t run(uint32_t at, size_t position, size_t target) {
    const size_t base = stack_.size();
    const Instruction* code = program_.code.data();
    const char* text = text_.data();
    const size_t size = text_.size();
    for (;;) {
      const Instruction& now = code[at];
      bool ok = true;
      switch (now.kind) {
        case Kind::accept:
          stack_.resize(base);
          return position;
        case Kind::byte:
          ok = position < size && static_cast<uint8_t>(text[position]) == now.a;
          ++position;
          ++at;
          break;
        case Kind::literal:
          ok = size - position >= now.b && std::memcmp(text + position, program_.literals.data() + now.a, now.b) == 0;
          position += now.b;
          ++at;
          break;
        case Kind::set:
          ok = take(program_.sets[now.a], position);
          ++at;
          break;
        case Kind::run:
          ok = take_run(now, position) >= now.minimum;
          ++at;
          break;
        case Kind::run_greedy: {
          size_t least = position;
          ok = take_run(now, position, &least) >= now.minimum;
          if (ok && position > least) push({WayBack::Kind::run, at, position, least});
          ++at;
          break;
        }
        case Kind::choice: {
          const uint32_t ways = program_.choices[now.a][position < size ? static_cast<uint8_t>(text[position]) : 256];
          spend(1);
          ok = ways != 0 && !exhausted_;
          if (ok) at = choose(at, now, ways, position);
          break;
        }
        case Kind::jump:
          at = now.a;
          break;
        case Kind::mark:
          push({WayBack::Kind::slot, now.a, slots_[now.a], 0});
          slots_[now.a] = position;
          ++at;
          break;
        case Kind::progress:
          at = slots_[now.a] == position ? now.b : at + 1;
          break;
        case Kind::anchor:
          ok = holds(static_cast<Node::Anchor>(now.a), position);
          ++at;
          break;
        case Kind::peek:
        case Kind::peek_not: {
          size_t beside = position;
          ok = take(program_.sets[now.a], beside) == (now.kind == Kind::peek);
          ++at;
          break;
        }
        case Kind::look:
        case Kind::look_not:
          ok = (run(at + 1, position, no_match) != no_match) == (now.kind == Kind::look);
          at = now.a;
          break;
        case Kind::behind:
        case Kind::behind_not:
          ok = matches_behind(at, now, position) == (now.kind == Kind::behind);
          at = now.a;
          break;
        case Kind::atomic: {
          const size_t end = run(at + 1, position, no_match);
          ok = end != no_match;
          position = end;
          at = now.a;
          break;
        }
        case Kind::at_target:
          ok = position == target;
          ++at;
          break;
      }
      if (ok) continue;
      if (!go_back(base, at, position)) return no_match;
    }
  }

  /// One character of `set`.
  bool take(const SetTable& set, size_t& position) const {
    if (position >= text_.size()) return false;
    const uint8_t known = set.of_byte[static_cast<uint8_t>(text_[position])];
    if (known < 2) {
      position += known;
      return known != 0;
    }
    size_t next = position;
    if (!set.table.contains(unicode::decode(text_, next))) return false;
    position = next;
    return true;
  }

  /// As many characters of the set as there are, up to the maximum; how many. `least`: the position behind the minimum.
  size_t take_run(const Instruction& now, size_t& position, size_t* least = nullptr) {
    const SetTable& set = program_.sets[now.a];
    const char* text = text_.data();
    const size_t size = text_.size(), begin = position;
    size_t count = 0, at = position;
    while (count < now.maximum && at < size) {
      const uint8_t known = set.of_byte[static_cast<uint8_t>(text[at])];
      if (known == 1) {
        ++at;
      } else if (known == 0) {
        break;
      } else {
        size_t next = at;
        if (!set.table.contains(unicode::decode(text_, next))) break;
        at = next;
      }
      if (++count == now.minimum && least != nullptr) *least = at;
    }
    spend((at - begin) / 16);
    position = at;
    return count;
  }

  uint32_t choose(uint32_t at, const Instruction& now, uint32_t ways, size_t position) {
    const uint32_t rest = ways & (ways - 1);
    if (rest != 0) push({WayBack::Kind::choice, at, position, rest});
    return program_.targets[now.b + static_cast<uint32_t>(std::countr_zero(ways))];
  }

  /// To the last way back above `base`.
  bool go_back(size_t base, uint32_t& at, size_t& position) {
    while (stack_.size() > base) {
      spend(1);
      if (exhausted_) {
        stack_.resize(base);
        return false;
      }
      WayBack& way = stack_.back();
      const Instruction& from = program_.code[way.at];
      if (way.kind == WayBack::Kind::slot) {
        slots_[way.at] = way.position;
        stack_.pop_back();
      } else if (way.kind == WayBack::Kind::choice) {
        const auto ways = static_cast<uint32_t>(way.rest);
        at = program_.targets[from.b + static_cast<uint32_t>(std::countr_zero(ways))];
        position = way.position;
        way.rest = ways & (ways - 1);
        if (way.rest == 0) stack_.pop_back();
        return true;
      } else {
        const ChoiceTable& next = program_.choices[from.b];
        size_t place = way.position;
        bool found = false;
        size_t steps = 0;
        while (place > way.rest && !found) {
          do --place;
          while (unicode::is_continuation(text_[place]));
          found = next[static_cast<uint8_t>(text_[place])] != 0;
          ++steps;
        }
        spend(steps / 4);
        at = way.at + 1;
        position = place;
        way.position = place;
        if (place == way.rest) stack_.pop_back();
        if (found) return true;
      }
    }
    return false;
  }

  bool matches_behind(uint32_t at, const Instruction& now, size_t position) {
    size_t begin = position;
    for (uint64_t width = 0; width <= now.maximum; ++width) {
      if (width >= now.minimum && run(at + 1, begin, position) != no_match) return true;
      if (begin == 0 || exhausted_) return false;
      unicode::decode_before(text_, begin);
      spend(1);
    }
    return false;
  }

  bool word_at(size_t position) const { return position < text_.size() && is_word(unicode::decode(text_, position)); }
  bool word_before(size_t position) const { return position > 0 && is_word(unicode::decode_before(text_, position)); }

  bool holds(Node::Anchor anchor, size_t at) const {
    const size_t size = text_.size();
    const bool newline_next = at < size && text_[at] == '\n', newline_before = at > 0 && text_[at - 1] == '\n';
    switch (anchor) {
      case Node::Anchor::line_begin:
        return at == 0 || (newline_before && at < size);
      case Node::Anchor::line_end:
        return newline_next || at == size;
      case Node::Anchor::text_begin:
        return at == 0;
      case Node::Anchor::text_end:
        return at == size;
      case Node::Anchor::text_end_or_newline:
        return at == size || (newline_next && at + 1 == size);
      case Node::Anchor::search_begin:
        return at == from_;
      case Node::Anchor::word_boundary:
        return word_at(at) != word_before(at);
      case Node::Anchor::not_word_boundary:
        return word_at(at) == word_before(at);
    }
    return false;
  }

  void push(const WayBack& way) {
    if (stack_.size() >= most_ways) exhausted_ = true;
    stack_.push_back(way);
  }

  void spend(size_t steps) {
    if (steps <= steps_left_) {
      steps_left_ -= steps;
    } else {
      steps_left_ = 0;
      exhausted_ = true;
    }
  }

  const Program& program_;
  std::string_view text_;
  size_t from_;
  std::vector<WayBack>& stack_;
  std::vector<size_t> slots_;
  size_t steps_left_;
  bool exhausted_ = false;
};
}  // namespace

Regex::Regex(std::string_view pattern) : pattern_(pattern) {
  if (!unicode::is_valid(pattern)) fail(Code::E_TOKENIZER, "A regular expression of %zu bytes is not UTF-8.", pattern.size());
  program_ = std::make_unique<const Program>(compile(*parse(pattern), pattern));
}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

bool Regex::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  thread_local std::vector<WayBack> stack;
  stack.clear();
  if (stack.capacity() > kept_ways) stack.shrink_to_fit();
  Machine machine(*program_, text, from, stack);
  for (size_t at = from; at <= text.size(); ++at) {
    if (!program_->starts[at < text.size() ? static_cast<uint8_t>(text[at]) : 256]) continue;
    if (at < text.size() && unicode::is_continuation(text[at])) continue;
    const size_t found = machine.match(0, at);
    if (machine.exhausted()) {
      fail(Code::E_TOKENIZER, "The regular expression \"%.300s\" backtracks without end on a text of %zu bytes (from byte %zu).",
           pattern_.c_str(), text.size(), at);
    }
    if (found == no_match) continue;
    begin = at;
    end = found;
    return true;
  }
  return false;
}

size_t Regex::next_character(std::string_view text, size_t from) {
  return from < text.size() ? from + unicode::length_of(text[from]) : from + 1;
}

}  // namespace fedlora::regex
