/// Sets of code points: `CodeSet`, ranges to calculate with, and `CodeTable`, bits to look up.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fedlora::unicode {

constexpr char32_t last_code = 0x10FFFF;

/// Sorted ranges that neither overlap nor touch.
class CodeSet {
 public:
  struct Range {
    char32_t first, last;
    bool operator==(const Range&) const = default;
  };

  CodeSet() = default;
  CodeSet(char32_t first, char32_t last) : ranges_{{first, last}} {}
  /// From pairs (first, last) in order, as the tables hold them.
  static CodeSet from_pairs(const uint32_t* pairs, size_t count);

  const std::vector<Range>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  bool contains(char32_t code) const;

  void add(char32_t first, char32_t last);
  void add(const CodeSet& other);
  CodeSet inverted() const;
  CodeSet intersected(const CodeSet& other) const;
  bool operator==(const CodeSet&) const = default;

 private:
  std::vector<Range> ranges_;
};

/// A set as bits in two stages: blocks of 256 code points, equal blocks stored once.
class CodeTable {
 public:
  CodeTable() = default;
  explicit CodeTable(const CodeSet& set);

  bool contains(char32_t code) const {
    const uint32_t block = block_of_[code >> 8];
    return bits_[block * 8 + (code >> 5 & 7)] >> (code & 31) & 1;
  }

 private:
  std::array<uint16_t, (last_code >> 8) + 1> block_of_{};
  std::vector<uint32_t> bits_;  // 8 words a block
};

}  // namespace fedlora::unicode
