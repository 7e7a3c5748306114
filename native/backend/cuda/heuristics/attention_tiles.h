/// The rows of packed sequences in pieces that a block takes: a list that the host makes and the library stages.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fedlora::cuda {

constexpr int attention_rows = 8, most_head_dim = 256;

/// Rows [first, first + attention_rows) of the sequence [begin, end), as far as it goes.
struct AttentionTile {
  int32_t begin, end, first;
};

inline std::vector<AttentionTile> attention_tiles(std::span<const int64_t> offsets) {
  std::vector<AttentionTile> tiles;
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    for (int64_t first = offsets[i]; first < offsets[i + 1]; first += attention_rows)
      tiles.push_back({static_cast<int32_t>(offsets[i]), static_cast<int32_t>(offsets[i + 1]), static_cast<int32_t>(first)});
  return tiles;
}

}  // namespace fedlora::cuda
