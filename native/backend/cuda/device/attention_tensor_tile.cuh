/// What attention on tensor cores shares (FlashAttention-2, Dao 2023): a block owns `rows` rows of one sequence and one head, 16 a warp,
/// and walks over the other side by tiles of `tile` rows, two stages of which lie in shared memory: one is multiplied while cp.async fills
/// the other. A head is padded to `Width` columns with zeros. Tiles begin at multiples of their size from the sequence's start, so that the
/// order of every sum depends on a row's place in its sequence alone; rows behind the sequence's end are zeros.
///
/// Scores are used as powers of two: e^(scale·s) = 2^(s·scale·log₂e). What is multiplied, probabilities and d_s too, is rounded to bf16;
/// sums are f32.
#pragma once
#include <type_traits>

#include "backend/cuda/device/attention_tile.cuh"
#include "backend/cuda/device/tensor_engine.cuh"
#include "backend/cuda/ptx/copy_async.h"
#include "backend/cuda/ptx/special.h"

namespace fedlora::cuda {

constexpr float log2_e = 1.44269504088896341f;

/// Sizes for an engine and a padded width of 64, 96, 128 or 256. Shared memory stays below 99 KB for WarpEngine (sm_89), 227 KB for
/// WarpgroupEngine.
template <class Engine, int Width>
struct AttentionPlan {
  static constexpr bool warpgroups = !std::is_same_v<Engine, WarpEngine>;
  static constexpr int rows = attention_tensor_rows(warpgroups), threads = 2 * rows;
  static constexpr int forward_tile = warpgroups ? (Width == 96 || Width == 128 ? 128 : 64) : Width == 64 ? 64 : 32;
  static constexpr int backward_tile = warpgroups ? (Width == 256 ? 32 : 64) : Width == 64 ? 64 : Width == 256 ? 16 : 32;
  static constexpr int row_bytes = (Width + 63) / 64 * 128;
  static constexpr int owned_bytes = rows * row_bytes, forward_bytes = forward_tile * row_bytes, backward_bytes = backward_tile * row_bytes;
  static constexpr int forward_shared = owned_bytes + 4 * forward_bytes;
  static constexpr int d_q_shared = 2 * owned_bytes + 4 * backward_bytes;
  static constexpr int d_kv_shared = d_q_shared + 2 * backward_tile * static_cast<int>(sizeof(float2));
  static_assert((forward_shared > d_kv_shared ? forward_shared : d_kv_shared) <= (warpgroups ? 227 : 99) * 1024);
};

/// `Rows` rows of `columns` numbers, `pitch` apart, to a tile; those from `count` on and columns behind the last arrive as zeros. By all
/// threads of the block; the caller commits.
template <int Rows, int Width, int Threads>
DEV void fetch_tile(unsigned char* tile, const bf16* from, int64_t pitch, int count, int columns) {
  constexpr u32 chunks = Width / 8;
#pragma unroll
  for (u32 c = threadIdx.x; c < Rows * chunks; c += Threads) {
    const u32 row = c / chunks, chunk = c % chunks;
    const bool inside = static_cast<int>(row) < count && static_cast<int>(chunk * 8) < columns;
    cp_async16(tile + chunk / 8 * Rows * 128 + swizzled(row, chunk % 8), inside ? from + row * pitch + chunk * 8 : from, inside ? 16 : 0);
  }
}

/// The sequence's rows that a block owns, and where this thread's two rows of every product lie: `row` and row + 8.
struct OwnedRows {
  AttentionTile tile;
  int count;  // of the block
  int row;    // in the pack
  template <int Rows>
  DEV static OwnedRows of(const AttentionTile& tile) {
    return {tile, min(Rows, tile.end - tile.first), tile.first + static_cast<int>(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4)};
  }
  DEV int first_of_warp() const { return tile.first + static_cast<int>(threadIdx.x / 32 * 16); }
  DEV int last() const { return tile.first + count - 1; }
  /// The largest multiple of `step` from the sequence's start that is not behind `from`.
  DEV int aligned(int from, int step) const { return tile.begin + (from - tile.begin) / step * step; }
  /// The keys that the owned queries see begin in this tile of `step`.
  DEV int first_key(int window, int step) const {
    return aligned(window == 0 ? tile.begin : max(tile.begin, tile.first - window + 1), step);
  }
  /// Behind the queries that see the owned keys.
  DEV int end_of_queries(int window) const {
    return window == 0 ? tile.end : static_cast<int>(min(static_cast<int64_t>(tile.end), static_cast<int64_t>(last()) + window));
  }
};

/// −∞ where the query does not see the key.
template <int N>
DEV void hide_scores(float (&s)[N / 2], int query, int first_key, int window) {
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    const int key = first_key + i / 4 * 8 + static_cast<int>(threadIdx.x % 4 * 2) + i % 2;
    if (!sees(query + i / 2 % 2 * 8, key, window)) s[i] = -INFINITY;
  }
}

DEV void store_pair(bf16* out, float first, float second) { *reinterpret_cast<u32*>(out) = pack_bf16(first, second); }
DEV void store_pair(float* out, float first, float second) { *reinterpret_cast<float2*>(out) = make_float2(first, second); }

/// factor·sum of this thread's rows to memory at `out`, the head's first column of row 0 of the pack. The column within a head is even, so
/// that two neighbours go together.
template <int Width, class Out>
DEV void store_owned(Out* out, int64_t pitch, const OwnedRows& owned, int columns, const float (&sum)[Width / 2], float factor,
                     float factor_below) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = owned.row + 8 * half;
    if (row > owned.last()) continue;
    Out* const to = out + row * pitch + threadIdx.x % 4 * 2;
    const float f = half == 0 ? factor : factor_below;
#pragma unroll
    for (int j = 0; j < Width / 8; ++j)
      if (8 * j < columns) store_pair(to + 8 * j, f * sum[4 * j + 2 * half], f * sum[4 * j + 2 * half + 1]);
  }
}

}  // namespace fedlora::cuda
