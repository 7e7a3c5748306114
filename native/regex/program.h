/// A compiled regular expression: instructions for the backtracking machine in match.cpp.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "regex/syntax.h"
#include "unicode/code_set.h"

namespace fedlora::regex {

/// A set of characters with a row for bytes: 0 not in the set, 1 in it, 2 the first byte of a longer character: see `table`.
struct SetTable {
  explicit SetTable(const CodeSet& set);
  std::array<uint8_t, 256> of_byte{};
  unicode::CodeTable table;
};

/// For each next byte, and for the end of the text at 256, a bit for each alternative that may match there.
using ChoiceTable = std::array<uint32_t, 257>;

struct Instruction {
  enum class Kind : uint8_t {
    accept,
    byte,        // the byte a
    literal,     // b bytes of `literals` at a
    set,         // one character of set a
    run,         // set a, minimum to maximum times, without a way back
    run_greedy,  // the same, and gives back one by one where the next byte is in choice b
    choice,      // alternatives of choices[a], which jump to targets[b + i], in order
    jump,        // to a
    mark,        // slot a := position
    progress,    // fails nothing, but jumps to b when the position is that of slot a
    anchor,      // Node::Anchor a
    peek,        // the next character is in set a
    peek_not,    // the next character is not in set a, or there is none
    look,        // the program behind this instruction matches here; then goes on at a
    look_not,    // it does not match here
    behind,      // it matches from minimum to maximum characters before here, up to here
    behind_not,
    atomic,    // it matches here; goes on at a behind that match
    at_target  // the position is where a look-behind began
  };
  Kind kind;
  uint32_t a = 0, b = 0;
  uint32_t minimum = 0, maximum = 0;
};

struct Program {
  std::vector<Instruction> code;
  std::vector<SetTable> sets;
  std::vector<ChoiceTable> choices;
  std::vector<uint32_t> targets;
  std::string literals;
  uint32_t slots = 0;
  /// Whether a match may begin before this byte, or at the end (256).
  std::array<bool, 257> starts{};
};

/// E_TOKENIZER when the program would be too large.
Program compile(const Node& root, std::string_view pattern);

}  // namespace fedlora::regex
