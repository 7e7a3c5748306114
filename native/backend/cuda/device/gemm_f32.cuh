/// Sums of products in f32. Grid: (N / 64, M / 64); a block of 256 threads makes 64 × 64 of C, each thread 4 × 4, by steps of 16 of the
/// depth through shared memory, both operands turned so that the depth runs slowest: [16][64 + 4] each (the padding keeps the turned
/// stores of a warp in different banks).
#pragma once
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/device/product.h"

namespace fedlora::cuda {

struct GemmF32 {
  static constexpr int side = 64, step = 16, threads = 256, pitch = side + 4;
  static constexpr int shared_bytes = 2 * step * pitch * 4;
};

__global__ void __launch_bounds__(GemmF32::threads, 2)
    gemm_f32_kernel(int64_t M, int64_t N, const __grid_constant__ ProductList products, Finish finish) {
  using Tile = GemmF32;
  FED_SHARED(shared);
  float* const left = reinterpret_cast<float*>(shared);
  float* const right = left + Tile::step * Tile::pitch;
  const int t = static_cast<int>(threadIdx.x);
  const int64_t m0 = static_cast<int64_t>(blockIdx.y) * Tile::side, n0 = static_cast<int64_t>(blockIdx.x) * Tile::side;
  const int row = t / 16 * 4, column = t % 16 * 4;
  float sum[4][4] = {};
  for (int p = 0; p < products.count; ++p) {
    const Product& product = products.items[p];
    const float* const a = static_cast<const float*>(product.left);
    const float* const b = static_cast<const float*>(product.right);
    for (int64_t k0 = 0; k0 < product.depth; k0 += Tile::step) {
      for (int i = t; i < Tile::side * Tile::step; i += Tile::threads) {
        const int64_t m = m0 + i / Tile::step, k = k0 + i % Tile::step;
        left[i % Tile::step * Tile::pitch + i / Tile::step] = m < M && k < product.depth ? a[m * product.left_stride + k] : 0.0f;
      }
      if (product.lies == Right::rows) {
        for (int i = t; i < Tile::side * Tile::step; i += Tile::threads) {
          const int64_t n = n0 + i / Tile::step, k = k0 + i % Tile::step;
          right[i % Tile::step * Tile::pitch + i / Tile::step] = n < N && k < product.depth ? b[n * product.right_stride + k] : 0.0f;
        }
      } else {
        for (int i = t; i < Tile::side * Tile::step; i += Tile::threads) {
          const int64_t n = n0 + i % Tile::side, k = k0 + i / Tile::side;
          right[i / Tile::side * Tile::pitch + i % Tile::side] = n < N && k < product.depth ? b[k * product.right_stride + n] : 0.0f;
        }
      }
      __syncthreads();  // the step has arrived
#pragma unroll
      for (int k = 0; k < Tile::step; ++k) {
        float x[4], y[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          x[i] = left[k * Tile::pitch + row + i];
          y[i] = right[k * Tile::pitch + column + i];
        }
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[i][j] += x[i] * y[j];
      }
      __syncthreads();  // everybody is through with it
    }
  }
  float* const out = static_cast<float*>(finish.out);
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t m = m0 + row + i, n = n0 + column + j;
      if (m >= M || n >= N) continue;
      out[m * finish.stride + n] = finish.scale * sum[i][j] + (finish.bias != nullptr ? finish.bias[n] : 0.0f);
    }
}

}  // namespace fedlora::cuda
