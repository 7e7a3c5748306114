/// The rows of packed sequences in pieces that a block takes: a list that the host makes and the library stages.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace fedlora::cuda {

constexpr int attention_rows = 8, most_head_dim = 256;

/// Rows of a block that multiplies on tensor cores, by warpgroups (capability 9.0) or by warps.
constexpr int attention_tensor_rows(bool warpgroups) { return warpgroups ? 128 : 64; }

/// Parts into which the query heads of a kv head go for d_k and d_v, a block each: the fewest that fill a device from 2,048 rows on (16 ×
/// 16 blocks for the 132 multiprocessors of the largest). Of the heads alone, so that every row's sums have one order.
constexpr int attention_key_parts(int heads, int kv_heads) {
  const int group = heads / kv_heads;
  for (int parts = 1; parts < group; ++parts)
    if (group % parts == 0 && kv_heads * parts >= 16) return parts;
  return group;
}

/// Rows [first, first + rows) of the sequence [begin, end), as far as it goes.
struct AttentionTile {
  int32_t begin, end, first;
};

/// Late rows, which see the most keys, come first: blocks begin in the order of the list, and the short ones fill the gaps at the end.
inline std::vector<AttentionTile> attention_tiles(std::span<const int64_t> offsets, int rows) {
  std::vector<AttentionTile> tiles;
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    for (int64_t first = offsets[i]; first < offsets[i + 1]; first += rows)
      tiles.push_back({static_cast<int32_t>(offsets[i]), static_cast<int32_t>(offsets[i + 1]), static_cast<int32_t>(first)});
  std::stable_sort(tiles.begin(), tiles.end(),
                   [](const AttentionTile& a, const AttentionTile& b) { return a.first - a.begin > b.first - b.begin; });
  return tiles;
}

}  // namespace fedlora::cuda
