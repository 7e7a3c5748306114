#include <algorithm>
#include <optional>
#include <string>

#include "regex/bracket.h"
#include "regex/escape.h"
#include "regex/fold_strings.h"
#include "regex/reader.h"
#include "regex/syntax.h"

namespace fedlora::regex {

namespace {
constexpr uint32_t largest_count = 100000;
constexpr size_t longest_pattern = 100000;

struct Options {
  bool ignore_case = false;
  bool dot_all = false;   // (?m): . matches a line feed too
  bool extended = false;  // (?x): white space and comments between items do not count
};

NodePointer make(Node::Kind kind) { return std::make_unique<Node>(kind); }

NodePointer make_set(CodeSet set) {
  NodePointer node = make(Node::Kind::set);
  node->set = std::move(set);
  return node;
}

NodePointer make_anchor(Node::Anchor anchor) {
  NodePointer node = make(Node::Kind::anchor);
  node->anchor = anchor;
  return node;
}

NodePointer make_repeat(NodePointer child, uint32_t minimum, uint32_t maximum, Node::Greed greed) {
  NodePointer node = make(Node::Kind::repeat);
  node->minimum = minimum;
  node->maximum = maximum;
  node->greed = greed;
  node->children.push_back(std::move(child));
  return node;
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : reader_(pattern) {}

  NodePointer parse() {
    NodePointer node = alternation();
    if (!reader_.done()) reader_.refuse("a closing parenthesis without an opening one");
    return node;
  }

 private:
  /// Everything to the next `)` or the end.
  NodePointer alternation() {
    if (++depth_ > deepest_nesting) reader_.refuse("groups nested too deep");
    const Options before = options_;
    NodePointer node = make(Node::Kind::alternation);
    do node->children.push_back(sequence());
    while (reader_.take("|"));
    options_ = before;
    --depth_;
    return node->children.size() == 1 ? std::move(node->children[0]) : std::move(node);
  }

  NodePointer sequence() {
    NodePointer node = make(Node::Kind::sequence);
    LiteralRun run(*node);
    while (!reader_.done() && reader_.peek() != '|' && reader_.peek() != ')') {
      if (options_.extended && skip_space()) continue;
      if (skip_comment_or_options(*node, run)) continue;
      const size_t begin = reader_.position();
      literal_.reset();
      NodePointer item = atom();
      const bool repeated = quantifiers(item, begin);
      if (literal_ && !repeated) {
        run.add(*literal_, std::move(item));
      } else {
        run.finish();
        node->children.push_back(std::move(item));
      }
    }
    run.finish();
    return node;
  }

  bool skip_space() {
    if (reader_.take("#")) {
      while (!reader_.done() && reader_.take() != '\n') {
      }
      return true;
    }
    if (std::string_view(" \t\n\r\f\v").find(reader_.peek()) == std::string_view::npos) return false;
    reader_.take();
    return true;
  }

  /// (?#…), and (?i) with all that follows it in its group, alternatives too.
  bool skip_comment_or_options(Node& sequence, LiteralRun& run) {
    if (reader_.take("(?#")) {
      reader_.take_until(')', "a comment");
      return true;
    }
    if (!reader_.rest().starts_with("(?")) return false;
    const size_t begin = reader_.position();
    reader_.take("(?");
    const auto options = read_options(begin);
    if (!options || !reader_.take(")")) {
      reader_.go_back_to(begin);
      return false;
    }
    run.finish();
    const Options before = options_;
    options_ = *options;
    sequence.children.push_back(alternation());
    options_ = before;
    return true;
  }

  /// The letters of (?im-x, nothing when it is another kind of group.
  std::optional<Options> read_options(size_t begin) {
    Options out = options_;
    bool on = true;
    for (;; reader_.take()) {
      const char letter = reader_.peek();
      if (letter == '-') {
        on = false;
      } else if (letter == 'i') {
        out.ignore_case = on;
      } else if (letter == 'm') {
        out.dot_all = on;
      } else if (letter == 'x') {
        out.extended = on;
      } else if (letter == ')' || letter == ':') {
        return out;
      } else if (std::string_view("=!<>'#~({").find(letter) != std::string_view::npos) {
        return std::nullopt;
      } else {
        reader_.refuse_at(begin, std::string("the option ") + letter);
      }
    }
  }

  NodePointer literal(char32_t code) {
    literal_.reset();
    if (options_.ignore_case) {
      literal_ = code;
      return make_set(folded(CodeSet(code, code)));
    }
    return make_set(CodeSet(code, code));
  }

  NodePointer atom() {
    const size_t begin = reader_.position();
    const char32_t code = reader_.take();
    switch (code) {
      case '(':
        return group(begin);
      case '[':
        return bracket(begin);
      case '.':
        return make_set(options_.dot_all ? CodeSet(0, unicode::last_code) : CodeSet('\n', '\n').inverted());
      case '^':
        return make_anchor(Node::Anchor::line_begin);
      case '$':
        return make_anchor(Node::Anchor::line_end);
      case '*':
      case '+':
      case '?':
        reader_.refuse_at(begin, "a quantifier with nothing before it");
      case '{': {
        reader_.go_back_to(begin);
        if (read_interval()) reader_.refuse_at(begin, "a quantifier with nothing before it");
        reader_.go_back_to(begin + 1);
        return literal(code);
      }
      case '\\':
        return escaped(begin);
      default:
        return literal(code);
    }
  }

  /// A class; ignoring case also the strings that equal its characters.
  NodePointer bracket(size_t begin) {
    const bool negative = reader_.peek() == '^';
    NodePointer set = make_set(read_bracket(reader_, begin, options_.ignore_case, 0));
    if (!options_.ignore_case || negative) return set;
    NodePointer either = make(Node::Kind::alternation);
    for (const auto& entry : unicode::case_strings()) {
      if (!set->set.contains(entry.code)) continue;
      NodePointer string = make(Node::Kind::sequence);
      for (const char32_t code : entry.folded) string->children.push_back(make_set(folded(CodeSet(code, code))));
      either->children.push_back(std::move(string));
    }
    if (either->children.empty()) return set;
    either->children.insert(either->children.begin(), std::move(set));
    return either;
  }

  NodePointer escaped(size_t begin) {
    Escape escape = read_escape(reader_, begin, false);
    if (escape.kind == Escape::Kind::set) return make_set(std::move(escape.set));
    if (escape.kind == Escape::Kind::code) return literal(escape.code);
    switch (escape.code) {
      case 'A':
        return make_anchor(Node::Anchor::text_begin);
      case 'z':
        return make_anchor(Node::Anchor::text_end);
      case 'Z':
        return make_anchor(Node::Anchor::text_end_or_newline);
      case 'G':
        return make_anchor(Node::Anchor::search_begin);
      case 'b':
        return make_anchor(Node::Anchor::word_boundary);
      case 'B':
        return make_anchor(Node::Anchor::not_word_boundary);
      case 'N':
        return make_set(CodeSet('\n', '\n').inverted());
      case 'O':
        return make_set(CodeSet(0, unicode::last_code));
      case 'R':
        return newline();
      case 'k':
        reader_.refuse_at(begin, "a back reference");
      case 'g':
        reader_.refuse_at(begin, "a call of a group");
      case 'K':
      case 'X':
      case 'y':
      case 'Y':
        reader_.refuse_at(begin, std::string("\\") + static_cast<char>(escape.code));
      default:
        return literal(escape.code);
    }
  }

  /// \R: \r\n or one character that ends a line.
  static NodePointer newline() {
    CodeSet one(0x0A, 0x0D);
    one.add(0x85, 0x85);
    one.add(0x2028, 0x2029);
    NodePointer pair = make(Node::Kind::sequence);
    pair->children.push_back(make_set(CodeSet('\r', '\r')));
    pair->children.push_back(make_set(CodeSet('\n', '\n')));
    NodePointer either = make(Node::Kind::alternation);
    either->children.push_back(std::move(pair));
    either->children.push_back(make_set(std::move(one)));
    NodePointer node = make(Node::Kind::atomic);
    node->children.push_back(std::move(either));
    return node;
  }

  NodePointer group(size_t begin) {
    NodePointer node;
    if (reader_.peek() == '*') reader_.refuse_at(begin, "a callout");
    if (!reader_.take("?")) {
      node = alternation();
    } else if (reader_.take("=")) {
      node = look(false, false);
    } else if (reader_.take("!")) {
      node = look(false, true);
    } else if (reader_.take("<=")) {
      node = look(true, false);
    } else if (reader_.take("<!")) {
      node = look(true, true);
    } else if (reader_.take(">")) {
      node = make(Node::Kind::atomic);
      node->children.push_back(alternation());
    } else if (reader_.peek() == '<' || reader_.peek() == '\'') {
      reader_.take_until(reader_.take() == '<' ? '>' : '\'', "the name of a group");
      node = alternation();
    } else if (reader_.peek() == '~') {
      reader_.refuse_at(begin, "an absent function");
    } else if (reader_.peek() == '(') {
      reader_.refuse_at(begin, "a condition");
    } else if (reader_.peek() == '{') {
      reader_.refuse_at(begin, "a callout");
    } else {
      const auto options = read_options(begin);
      if (!options || !reader_.take(":")) reader_.refuse_at(begin, "a group of this kind");
      const Options before = options_;
      options_ = *options;
      node = alternation();
      options_ = before;
    }
    if (!reader_.take(")")) reader_.refuse_at(begin, "a group is not closed");
    literal_.reset();
    return node;
  }

  NodePointer look(bool behind, bool negative) {
    NodePointer node = make(Node::Kind::look);
    node->behind = behind;
    node->negative = negative;
    node->children.push_back(alternation());
    return node;
  }

  struct Interval {
    uint32_t minimum, maximum;
    bool possessive, exact;
  };

  /// {n}, {n,}, {,m}, {n,m}; nothing, and nothing taken, when the brace is a character.
  std::optional<Interval> read_interval() {
    const size_t begin = reader_.position();
    const auto number = [&]() -> std::optional<uint32_t> {
      std::optional<uint32_t> value;
      while (reader_.peek() >= '0' && reader_.peek() <= '9') {
        value = value.value_or(0) * 10 + static_cast<uint32_t>(reader_.take() - '0');
        if (*value > largest_count) reader_.refuse_at(begin, "a count above " + std::to_string(largest_count));
      }
      return value;
    };
    if (!reader_.take("{")) return std::nullopt;
    const auto first = number();
    const bool comma = reader_.take(",");
    const auto second = comma ? number() : first;
    if (!reader_.take("}") || (!first && !second)) {
      reader_.go_back_to(begin);
      return std::nullopt;
    }
    Interval out{first.value_or(0), second.value_or(unlimited), false, !comma};
    if (out.minimum > out.maximum) {
      std::swap(out.minimum, out.maximum);
      out.possessive = true;
    }
    return out;
  }

  /// Wraps `item` in the quantifiers behind it; whether there was one.
  bool quantifiers(NodePointer& item, size_t begin) {
    for (int count = 0;; ++count) {
      while (options_.extended && skip_space()) {
      }
      uint32_t minimum = 0, maximum = unlimited;
      Node::Greed greed = Node::Greed::greedy;
      bool exact = false, braces = false;
      if (reader_.take("*")) {
      } else if (reader_.take("+")) {
        minimum = 1;
      } else if (reader_.take("?")) {
        maximum = 1;
      } else if (const auto interval = read_interval()) {
        braces = true;
        minimum = interval->minimum;
        maximum = interval->maximum;
        exact = interval->exact;
        if (interval->possessive) greed = Node::Greed::possessive;
      } else {
        return count > 0;
      }
      if (item->kind == Node::Kind::look || item->kind == Node::Kind::anchor) reader_.refuse_at(begin, "a repeated look-around or anchor");
      if (count >= deepest_nesting) reader_.refuse_at(begin, "quantifiers nested too deep");
      // {n}? is an optional {n}, {n,m}+ a repeated {n,m}: those signs are quantifiers of their own.
      if (greed == Node::Greed::greedy && !exact && reader_.take("?")) {
        greed = Node::Greed::lazy;
      } else if (!braces && reader_.take("+")) {
        greed = Node::Greed::possessive;
      }
      item = make_repeat(std::move(item), minimum, maximum, greed);
    }
  }

  Reader reader_;
  Options options_;
  int depth_ = 0;
  std::optional<char32_t> literal_;  // the last atom, when it is one character that matches in either case
};
}  // namespace

NodePointer parse(std::string_view pattern) {
  if (pattern.size() > longest_pattern)
    fail(Code::E_TOKENIZER, "A regular expression of %zu bytes: %zu are the most.", pattern.size(), longest_pattern);
  return Parser(pattern).parse();
}

}  // namespace fedlora::regex
