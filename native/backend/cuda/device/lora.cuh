/// What LoRA's products need beside gemm.h: sums over rows in f32, a sum rounded.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int round_threads = 256;

template <class T>
__global__ void __launch_bounds__(round_threads) round_kernel(int64_t count, const float* from, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * round_threads + threadIdx.x;
  if (i < count) store(out + i, from[i]);
}

/// Sums over rows in f32 (bf16: narrow_product.cuh): partial[slice][p][q] = Σ_m left[m,p]·right[m,q] over the rows of a slice. Grid: (Q /
/// 32, P / 32, slices); a block of 256 threads makes 32 × 32, each thread 4 of them, by steps of 32 rows through shared memory: left and
/// right [32][32] f32.
struct RowSum {
  static constexpr int side = 32, step = 32, threads = 256;
  static constexpr int shared_bytes = 2 * step * side * 4;
};

static __global__ void __launch_bounds__(RowSum::threads)
    row_sum_kernel(int64_t rows, int64_t slice, int64_t P, int64_t Q, const float* left, int64_t left_stride, const float* right,
                   int64_t right_stride, float* partial) {
  using Tile = RowSum;
  FED_SHARED(shared);
  float* const a = reinterpret_cast<float*>(shared);
  float* const b = a + Tile::step * Tile::side;
  const int t = static_cast<int>(threadIdx.x), q = t % 32, p = t / 32 * 4;
  const int64_t p0 = static_cast<int64_t>(blockIdx.y) * Tile::side, q0 = static_cast<int64_t>(blockIdx.x) * Tile::side;
  const int64_t begin = static_cast<int64_t>(blockIdx.z) * slice, end = min(rows, begin + slice);
  float sum[4] = {};
  for (int64_t m0 = begin; m0 < end; m0 += Tile::step) {
    for (int i = t; i < Tile::step * Tile::side; i += Tile::threads) {
      const int64_t m = m0 + i / Tile::side, column = i % Tile::side;
      a[i] = m < end && p0 + column < P ? load(left + m * left_stride + p0 + column) : 0.0f;
      b[i] = m < end && q0 + column < Q ? load(right + m * right_stride + q0 + column) : 0.0f;
    }
    __syncthreads();  // the rows have arrived
#pragma unroll 8
    for (int m = 0; m < Tile::step; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] += a[m * Tile::side + p + i] * b[m * Tile::side + q];
    __syncthreads();  // everybody is through with them
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (p0 + p + i < P && q0 + q < Q) partial[(blockIdx.z * P + p0 + p + i) * Q + q0 + q] = sum[i];
}

}  // namespace fedlora::cuda
