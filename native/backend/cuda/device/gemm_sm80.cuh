/// Sums of products in bf16 by mma.sync, sm_80 and every later architecture. Grid: (N / 128, M / 128); a block of 8 warps makes 128 × 128
/// of C, each warp 64 × 32, by steps of 64 of the depth.
///
/// Shared memory: three stages of
///   left   [128 rows of M][64 of the depth], rows of 128 bytes, swizzled
///   right  Right::rows: [128 of N][64 of the depth] likewise · Right::columns: two boxes of [64 of the depth][64 of N]
/// A stage is filled by cp.async two steps before it is read. One barrier a step: behind it the step has arrived for everybody, and
/// everybody is through with the step before, whose stage is filled next.
#pragma once
#include "backend/cuda/device/fetch_chunk.cuh"
#include "backend/cuda/device/product.h"
#include "backend/cuda/ptx/matrix.h"

namespace fedlora::cuda {

struct GemmSm80 {
  static constexpr int side = 128, step = 64, stages = 3, threads = 256;
  static constexpr int operand_bytes = side * step * 2, stage_bytes = 2 * operand_bytes;
  static constexpr int box_bytes = operand_bytes / 2;
  static constexpr int shared_bytes = stages * stage_bytes;
};

/// Walks the steps of all products, end to end.
struct StepWalk {
  const ProductList& products;
  int product = 0;
  int64_t at = 0;  // in its depth
  DEV bool done() const { return product >= products.count; }
  DEV void advance() {
    at += GemmSm80::step;
    if (at < products.items[product].depth) return;
    at = 0;
    ++product;
  }
};

DEV void fetch_step(unsigned char* stage, const StepWalk& walk, int64_t M, int64_t N, int64_t m0, int64_t n0) {
  using Tile = GemmSm80;
  const Product& product = walk.products.items[walk.product];
  const bf16* const left = static_cast<const bf16*>(product.left);
  const bf16* const right = static_cast<const bf16*>(product.right);
  const bool left_pieces = in_pieces(left, product.left_stride), right_pieces = in_pieces(right, product.right_stride);
  unsigned char* const right_tile = stage + Tile::operand_bytes;
  for (u32 c = threadIdx.x; c < Tile::side * 8; c += Tile::threads)  // a row of 8 chunks
    fetch_chunk(stage + swizzled(c / 8, c % 8), left, product.left_stride, left_pieces, m0 + c / 8, M, walk.at + c % 8 * 8, product.depth);
  if (product.lies == Right::rows) {
    for (u32 c = threadIdx.x; c < Tile::side * 8; c += Tile::threads)
      fetch_chunk(right_tile + swizzled(c / 8, c % 8), right, product.right_stride, right_pieces, n0 + c / 8, N, walk.at + c % 8 * 8,
                  product.depth);
  } else {
    for (u32 c = threadIdx.x; c < Tile::step * 16; c += Tile::threads)  // a row of 16 chunks, 8 in each box
      fetch_chunk(right_tile + c % 16 / 8 * Tile::box_bytes + swizzled(c / 16, c % 8), right, product.right_stride, right_pieces,
                  walk.at + c / 16, product.depth, n0 + c % 16 * 8, N);
  }
}

/// sum += left·right of one stage, for the warp whose rows begin at wm and whose columns begin at wn.
DEV void multiply_step(float (&sum)[4][4][4], const unsigned char* stage, Right lies, u32 wm, u32 wn) {
  const u32 lane = threadIdx.x % 32;
  const unsigned char* const right_tile = stage + GemmSm80::operand_bytes;
#pragma unroll
  for (u32 k = 0; k < 4; ++k) {
    u32 a[4][4], b[2][4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) ldmatrix4(a[i], stage + swizzled(wm + i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
    for (u32 j = 0; j < 2; ++j) {  // two blocks of 8 columns: b0, b1 of the first, b0, b1 of the second
      if (lies == Right::rows) {
        ldmatrix4(b[j], right_tile + swizzled(wn + j * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
      } else {
        const u32 column = wn + j * 16 + lane / 16 * 8;
        ldmatrix4_trans(b[j],
                        right_tile + column / 64 * GemmSm80::box_bytes + swizzled(k * 16 + lane / 8 % 2 * 8 + lane % 8, column % 64 / 8));
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) mma_bf16(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
  }
}

template <class Out>
__global__ void __launch_bounds__(GemmSm80::threads)
    gemm_sm80_kernel(int64_t M, int64_t N, const __grid_constant__ ProductList products, Finish finish) {
  using Tile = GemmSm80;
  FED_SHARED(shared);
  const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t m0 = static_cast<int64_t>(blockIdx.y) * Tile::side, n0 = static_cast<int64_t>(blockIdx.x) * Tile::side;
  const u32 wm = warp % 2 * 64, wn = warp / 2 * 32;
  float sum[4][4][4] = {};
  StepWalk ahead{products}, here{products};
  for (int s = 0; s < Tile::stages - 1; ++s) {
    if (!ahead.done()) {
      fetch_step(shared + s * Tile::stage_bytes, ahead, M, N, m0, n0);
      ahead.advance();
    }
    cp_async_commit();  // a group a step, empty ones too, so that the wait counts steps
  }
  for (int step = 0; !here.done(); ++step) {
    cp_async_wait<Tile::stages - 2>();
    __syncthreads();
    if (!ahead.done()) {
      fetch_step(shared + (step + Tile::stages - 1) % Tile::stages * Tile::stage_bytes, ahead, M, N, m0, n0);
      ahead.advance();
    }
    cp_async_commit();
    multiply_step(sum, shared + step % Tile::stages * Tile::stage_bytes, products.items[here.product].lies, wm, wn);
    here.advance();
  }
  cp_async_wait<0>();
  Out* const out = static_cast<Out*>(finish.out);
#pragma unroll
  for (u32 i = 0; i < 4; ++i)
#pragma unroll
    for (u32 j = 0; j < 4; ++j)
#pragma unroll
      for (u32 e = 0; e < 4; ++e) {
        const int64_t m = m0 + wm + i * 16 + lane / 4 + e / 2 * 8, n = n0 + wn + j * 8 + lane % 4 * 2 + e % 2;
        if (m >= M || n >= N) continue;
        store(out + m * finish.stride + n, finish.scale * sum[i][j][e] + (finish.bias != nullptr ? finish.bias[n] : 0.0f));
      }
}

}  // namespace fedlora::cuda
