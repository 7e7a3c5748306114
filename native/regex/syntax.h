/// A regular expression as a tree, and the parser that makes it.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "unicode/code_set.h"

namespace fedlora::regex {

using unicode::CodeSet;

struct Node;
using NodePointer = std::unique_ptr<Node>;

constexpr uint32_t unlimited = ~0u;

struct Node {
  enum class Kind { set, sequence, alternation, repeat, atomic, look, anchor };
  enum class Greed { greedy, lazy, possessive };
  enum class Anchor { line_begin, line_end, text_begin, text_end, text_end_or_newline, search_begin, word_boundary, not_word_boundary };

  explicit Node(Kind kind_of) : kind(kind_of) {}

  Kind kind;
  CodeSet set;                        // set: one character of it
  std::vector<NodePointer> children;  // sequence, alternation: any number; repeat, atomic, look: one
  uint32_t minimum = 0, maximum = 0;  // repeat
  Greed greed = Greed::greedy;        // repeat
  bool behind = false;                // look
  bool negative = false;              // look
  Anchor anchor = Anchor::line_begin;
};

/// Groups nest at most this deep.
constexpr int deepest_nesting = 200;

/// The tree of `pattern`, in the syntax of Oniguruma as far as it is regular and looks around. E_TOKENIZER for anything else, saying what
/// and at which byte.
NodePointer parse(std::string_view pattern);

}  // namespace fedlora::regex
