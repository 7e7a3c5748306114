#include <algorithm>

#include "base/error.h"
#include "regex/first.h"
#include "regex/program.h"
#include "unicode/utf8.h"

namespace fedlora::regex {

namespace {
constexpr size_t most_instructions = 20000, most_choices = 4000, most_sets = 1000, most_visits = 200000;
constexpr size_t alternatives_a_choice = 32;

using Kind = Instruction::Kind;

class Compiler {
 public:
  explicit Compiler(std::string_view pattern) : pattern_(pattern) {}

  Program compile(const Node& root) {
    First end;
    end.empty = true;
    emit(root, end);
    add(Kind::accept);
    const auto bytes = first_of(root).bytes();
    std::copy(bytes.begin(), bytes.end(), program_.starts.begin());
    return std::move(program_);
  }

 private:
  uint32_t here() const { return static_cast<uint32_t>(program_.code.size()); }

  uint32_t add(Kind kind, uint32_t a = 0, uint32_t b = 0, uint32_t minimum = 0, uint32_t maximum = 0) {
    if (program_.code.size() >= most_instructions) too_large();
    program_.code.push_back({kind, a, b, minimum, maximum});
    return here() - 1;
  }

  [[noreturn]] void too_large() const {
    fail(Code::E_TOKENIZER, "The regular expression \"%.*s\" is too large (%zu instructions and %zu choices are the most).",
         static_cast<int>(std::min<size_t>(pattern_.size(), 300)), pattern_.data(), most_instructions, most_choices);
  }

  uint32_t set_index(const CodeSet& set) {
    const auto known = std::find(sets_.begin(), sets_.end(), set);
    if (known != sets_.end()) return static_cast<uint32_t>(known - sets_.begin());
    if (sets_.size() >= most_sets) too_large();
    sets_.push_back(set);
    program_.sets.emplace_back(set);
    return static_cast<uint32_t>(sets_.size() - 1);
  }

  /// A choice between parts that begin so; the targets are set by the caller.
  uint32_t add_choice(const std::vector<First>& parts) {
    if (program_.choices.size() >= most_choices) too_large();
    ChoiceTable table{};
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto bytes = parts[i].bytes();
      for (size_t byte = 0; byte < bytes.size(); ++byte) table[byte] |= uint32_t{bytes[byte]} << i;
    }
    program_.choices.push_back(table);
    const uint32_t at =
        add(Kind::choice, static_cast<uint32_t>(program_.choices.size() - 1), static_cast<uint32_t>(program_.targets.size()));
    program_.targets.resize(program_.targets.size() + parts.size());
    return at;
  }
  void set_target(uint32_t choice, size_t index) { program_.targets[program_.code[choice].b + index] = here(); }

  /// `follow`: what comes behind `node` in the whole expression.
  void emit(const Node& node, const First& follow) {
    if (++visits_ > most_visits) too_large();  // counted repetitions of nothing are no instructions
    switch (node.kind) {
      case Node::Kind::set:
        emit_set(node.set);
        break;
      case Node::Kind::sequence:
        emit_sequence(node, follow);
        break;
      case Node::Kind::alternation:
        emit_alternation(node, 0, follow);
        break;
      case Node::Kind::repeat:
        emit_repeat(node, follow);
        break;
      case Node::Kind::atomic:
        emit_atomic(*node.children[0]);
        break;
      case Node::Kind::look:
        emit_look(node);
        break;
      case Node::Kind::anchor:
        add(Kind::anchor, static_cast<uint32_t>(node.anchor));
        break;
    }
  }

  static bool is_one_character(const Node& node) {
    return node.kind == Node::Kind::set && node.set.ranges().size() == 1 && node.set.ranges()[0].first == node.set.ranges()[0].last;
  }

  void emit_set(const CodeSet& set) { add(Kind::set, set_index(set)); }

  void emit_sequence(const Node& node, const First& follow) {
    std::vector<First> behind(node.children.size(), follow);
    for (size_t i = node.children.size(); i-- > 1;) behind[i - 1] = first_of(*node.children[i]).then(behind[i]);
    for (size_t i = 0; i < node.children.size();) {
      std::string text;
      size_t end = i;
      for (; end < node.children.size() && is_one_character(*node.children[end]); ++end) {
        unicode::append(text, node.children[end]->set.ranges()[0].first);
      }
      if (text.size() == 1) {
        add(Kind::byte, static_cast<uint8_t>(text[0]));
      } else if (!text.empty()) {
        add(Kind::literal, static_cast<uint32_t>(program_.literals.size()), static_cast<uint32_t>(text.size()));
        program_.literals += text;
      } else {
        emit(*node.children[i], behind[i]);
        end = i + 1;
      }
      i = end;
    }
  }

  void emit_alternation(const Node& node, size_t begin, const First& follow) {
    size_t end = node.children.size();
    const bool more = end - begin > alternatives_a_choice;
    if (more) end = begin + alternatives_a_choice - 1;
    std::vector<First> parts;
    for (size_t i = begin; i < end; ++i) parts.push_back(first_of(*node.children[i]).then(follow));
    if (more) {
      First rest;
      for (size_t i = end; i < node.children.size(); ++i) rest.add(first_of(*node.children[i]));
      parts.push_back(rest.then(follow));
    }
    const uint32_t choice = add_choice(parts);
    std::vector<uint32_t> jumps;
    for (size_t i = begin; i < end; ++i) {
      set_target(choice, i - begin);
      emit(*node.children[i], follow);
      if (more || i + 1 < end) jumps.push_back(add(Kind::jump));
    }
    if (more) {
      set_target(choice, end - begin);
      emit_alternation(node, end, follow);
    }
    for (const uint32_t jump : jumps) program_.code[jump].a = here();
  }

  void emit_repeat(const Node& node, const First& follow) {
    const Node& child = *node.children[0];
    if (node.maximum == 0) return;
    if (node.greed == Node::Greed::possessive && child.kind != Node::Kind::set) return emit_atomic_repeat(node);
    if (child.kind == Node::Kind::set && node.greed != Node::Greed::lazy) return emit_run(node, follow);
    const bool lazy = node.greed == Node::Greed::lazy;
    const First body = first_of(child);
    // Behind one turn comes the next one, or what follows.
    First next = body.then(follow);
    next.add(follow);
    for (uint32_t turn = 0; turn < node.minimum; ++turn) emit(child, next);
    if (node.maximum == unlimited) {
      const uint32_t loop = here(), choice = add_turn(body.then(follow), follow, lazy);
      set_target(choice, lazy);
      const uint32_t slot = program_.slots;
      if (body.empty) add(Kind::mark, program_.slots++);
      emit(child, next);
      const uint32_t progress = body.empty ? add(Kind::progress, slot) : 0;
      add(Kind::jump, loop);
      if (body.empty) program_.code[progress].b = here();
      set_target(choice, !lazy);
      return;
    }
    std::vector<uint32_t> choices;
    for (uint32_t turn = node.minimum; turn < node.maximum; ++turn) {
      choices.push_back(add_turn(body.then(follow), follow, lazy));
      set_target(choices.back(), lazy);
      emit(child, next);
    }
    for (const uint32_t choice : choices) set_target(choice, !lazy);
  }

  /// The choice between another turn and what follows, in the order of greed.
  uint32_t add_turn(const First& turn, const First& follow, bool lazy) {
    return lazy ? add_choice({follow, turn}) : add_choice({turn, follow});
  }

  /// One set again and again. No way back is needed when what follows cannot begin inside the set, or cannot fail.
  void emit_run(const Node& node, const First& follow) {
    const CodeSet& set = node.children[0]->set;
    const bool decided = node.greed == Node::Greed::possessive || node.minimum == node.maximum ||
                         (!follow.guarded && (follow.empty || follow.set.intersected(set).empty()));
    if (decided) {
      add(Kind::run, set_index(set), 0, node.minimum, node.maximum);
      return;
    }
    if (program_.choices.size() >= most_choices) too_large();
    ChoiceTable table{};
    const auto bytes = follow.bytes();
    std::copy(bytes.begin(), bytes.end(), table.begin());
    program_.choices.push_back(table);
    add(Kind::run_greedy, set_index(set), static_cast<uint32_t>(program_.choices.size() - 1), node.minimum, node.maximum);
  }

  /// A program of its own between `kind` and `accept`, which goes on behind that.
  template <typename Body>
  void emit_inner(Kind kind, uint32_t minimum, uint32_t maximum, Body body) {
    const uint32_t at = add(kind, 0, 0, minimum, maximum);
    body();
    add(Kind::accept);
    program_.code[at].a = here();
  }

  static First may_end() {
    First end;
    end.empty = true;
    return end;
  }

  void emit_atomic(const Node& child) {
    emit_inner(Kind::atomic, 0, 0, [&] { emit(child, may_end()); });
  }

  void emit_atomic_repeat(const Node& node) {
    Node greedy(Node::Kind::repeat);
    greedy.minimum = node.minimum;
    greedy.maximum = node.maximum;
    greedy.children.push_back(nullptr);
    // The child is lent to the greedy loop while that is compiled.
    auto& child = const_cast<NodePointer&>(node.children[0]);
    greedy.children[0].swap(child);
    emit_atomic(greedy);
    greedy.children[0].swap(child);
  }

  void emit_look(const Node& node) {
    const Node& child = *node.children[0];
    if (!node.behind) {
      const Node* only = &child;
      while (only->kind == Node::Kind::sequence && only->children.size() == 1) only = only->children[0].get();
      if (only->kind == Node::Kind::set) {
        add(node.negative ? Kind::peek_not : Kind::peek, set_index(only->set));
        return;
      }
      emit_inner(node.negative ? Kind::look_not : Kind::look, 0, 0, [&] { emit(child, may_end()); });
      return;
    }
    const Width width = width_of(child);
    First target;
    target.empty = target.guarded = true;
    emit_inner(node.negative ? Kind::behind_not : Kind::behind, static_cast<uint32_t>(width.least), static_cast<uint32_t>(width.greatest),
               [&] {
                 emit(child, target);
                 add(Kind::at_target);
               });
  }

  std::string_view pattern_;
  Program program_;
  std::vector<CodeSet> sets_;
  size_t visits_ = 0;
};
}  // namespace

SetTable::SetTable(const CodeSet& set) : table(set) {
  for (size_t byte = 0; byte < 256; ++byte) of_byte[byte] = byte >= 0x80 ? 2 : set.contains(static_cast<char32_t>(byte));
}

Program compile(const Node& root, std::string_view pattern) { return Compiler(pattern).compile(root); }

}  // namespace fedlora::regex
