/// How large the tiles of a matrix product are, and in which order they are made.
#pragma once
#include <algorithm>
#include <cstdint>

#if defined(__CUDACC__)
#define FED_BOTH __host__ __device__
#else
#define FED_BOTH
#endif

namespace fedlora::cuda {

/// Columns of a tile of 128 rows on sm_90: 256 where that still makes a tile for each of the 132 multiprocessors of a full device, else
/// 128. A sum's order is the same in both.
constexpr int gemm_sm90_columns(int64_t M, int64_t N) {
  const int64_t tiles = (M + 127) / 128 * ((N + 255) / 256);
  return N > 128 && tiles >= 132 ? 256 : 128;
}

/// Tiles of C, `rows` × `columns` of them, in groups of 16 rows of tiles, down a column of the group first: the tiles that are made at one
/// time share their operands through the L2 cache.
struct TileOrder {
  int64_t rows, columns;
  static constexpr int64_t group = 16;

  struct Tile {
    int64_t row, column;
  };
  FED_BOTH constexpr int64_t count() const { return rows * columns; }
  FED_BOTH constexpr Tile at(int64_t index) const {
    const int64_t first = index / (group * columns) * group, within = index % (group * columns);
    const int64_t height = rows - first < group ? rows - first : group;
    return {first + within % height, within / height};
  }
};

}  // namespace fedlora::cuda
