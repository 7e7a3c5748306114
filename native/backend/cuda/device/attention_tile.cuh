/// What the attention kernels share: a block works on up to attention_rows rows of one sequence, a warp each, against 32 rows of the other
/// side at a time, a lane each. Those 32 lie in shared memory in f32, D + 1 apart: lanes that walk along different rows, and lanes side by
/// side in one row, meet no bank twice. Tiles begin at multiples of 32 from the sequence's start, so that the order of every sum depends on
/// a row's place in its sequence alone; a pair that the mask hides adds nothing.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/heuristics/attention_tiles.h"
#include "backend/ops.h"

namespace fedlora::cuda {

constexpr int attention_threads = 32 * attention_rows;
/// Numbers of a head that a lane sums: elements lane, lane + 32, …
constexpr int attention_pieces = most_head_dim / 32;

DEV int attention_stride(int D) { return D + 1; }

/// Whether the row i of a sequence sees its row j.
DEV bool sees(int64_t i, int64_t j, int window) { return j <= i && (window == 0 || j > i - window); }

/// 32 rows of D numbers, `pitch` apart in memory; those from `rows` on are zeros. By all threads of the block.
template <class T>
DEV void load_tile(float* tile, const T* from, int64_t rows, int64_t pitch, int D) {
  for (int i = threadIdx.x; i < 32 * D; i += attention_threads) {
    const int row = i / D, d = i % D;
    tile[row * attention_stride(D) + d] = row < rows ? load(from + row * pitch + d) : 0.0f;
  }
}

/// One row of D numbers, by a warp for itself.
template <class T>
DEV void load_row(float* to, const T* from, int D) {
  for (int d = threadIdx.x % 32; d < D; d += 32) to[d] = load(from + d);
}

DEV float dot_row(const float* a, const float* b, int D) {
  float sum = 0;
  for (int d = 0; d < D; ++d) sum += a[d] * b[d];
  return sum;
}

/// sums[i] += Σ_j weight_j·tile[j][lane + 32i], weight_j being lane j's, j in order.
DEV void add_weighted(float (&sums)[attention_pieces], float weight, const float* tile, int D) {
  for (int j = 0; j < 32; ++j) {
    const float w = __shfl_sync(whole_warp, weight, j);
    const float* row = tile + j * attention_stride(D);
#pragma unroll
    for (int i = 0; i < attention_pieces; ++i) {
      const int d = static_cast<int>(threadIdx.x % 32) + 32 * i;
      if (d < D) sums[i] += w * row[d];
    }
  }
}

template <class T>
DEV void store_row(T* to, const float (&sums)[attention_pieces], float factor, int D) {
#pragma unroll
  for (int i = 0; i < attention_pieces; ++i) {
    const int d = static_cast<int>(threadIdx.x % 32) + 32 * i;
    if (d < D) store(to + d, sums[i] * factor);
  }
}

}  // namespace fedlora::cuda
