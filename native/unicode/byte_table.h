/// A byte for every code point, in two stages.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "unicode/code_set.h"

namespace fedlora::unicode {

class ByteTable {
 public:
  /// From runs `first code point << shift | value` in order, the first at 0.
  template <size_t count>
  ByteTable(const uint32_t (&runs)[count], int shift) {
    std::vector<uint8_t> all(last_code + 1);
    for (size_t i = 0; i < count; ++i) {
      const size_t end = i + 1 < count ? runs[i + 1] >> shift : all.size();
      std::fill(all.begin() + (runs[i] >> shift), all.begin() + static_cast<std::ptrdiff_t>(end),
                static_cast<uint8_t>(runs[i] & ((1u << shift) - 1)));
    }
    for (size_t block = 0; block < block_of_.size(); ++block) {
      const auto* begin = all.data() + block * 256;
      // Neighbouring blocks are often alike: long runs of one script, of nothing.
      if (block > 0 && std::equal(begin, begin + 256, bytes_.end() - 256)) {
        block_of_[block] = block_of_[block - 1];
      } else {
        block_of_[block] = static_cast<uint16_t>(bytes_.size() / 256);
        bytes_.insert(bytes_.end(), begin, begin + 256);
      }
    }
  }

  uint8_t operator[](char32_t code) const { return bytes_[block_of_[code >> 8] * 256u + (code & 0xFF)]; }

 private:
  std::array<uint16_t, (last_code >> 8) + 1> block_of_{};
  std::vector<uint8_t> bytes_;
};

}  // namespace fedlora::unicode
