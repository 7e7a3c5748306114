/// Two engines that multiply tiles in shared memory and registers in bf16, with one face: a kernel is written once for both generations.
///
/// A tile is [rows][width] as boxes of 64 columns, [width / 64][rows][64], in rows of 128 bytes with the 128-byte swizzle (matrix.h). A
/// warp owns 16 rows of every product. Number i of a product [16, N] in a thread's float[N / 2]:
///   row lane/4 + 8·(i/2 % 2), column 8·(i/4) + 2·(lane % 4) + i % 2
/// and a product packed to bf16 is the left operand of the next one, in the registers where it lies: pack_left.
///
/// `here`: whether the architecture that is compiled for has it. In order: fence, begin_rows or begin_columns, commit (a batch); wait<n>:
/// all but the last n batches are done. In between the sums, and what they are made of, belong to the engine. WarpEngine does it all at
/// once.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/ptx/fence.h"
#include "backend/cuda/ptx/matrix.h"
#include "backend/cuda/ptx/wgmma.h"

namespace fedlora::cuda {

/// left[k] is the operand of columns 16k … 16k + 15 of a product.
template <int N>
DEV void pack_left(u32 (&left)[N / 16][4], const float (&product)[N / 2]) {
#pragma unroll
  for (int k = 0; k < N / 16; ++k)
#pragma unroll
    for (int i = 0; i < 4; ++i) left[k][i] = pack_bf16(product[8 * k + 2 * i], product[8 * k + 2 * i + 1]);
}

/// mma.sync, sm_80 and later: a warp by itself.
struct WarpEngine {
  static constexpr bool here = true;
  DEV static void publish() {}
  DEV static void fence() {}
  DEV static void commit() {}
  template <int>
  DEV static void wait() {}

  /// out [16, N] = left·rightᵀ, over `Depth` columns: left's rows of this warp, right [N][Depth].
  template <int N, int Depth>
  DEV static void begin_rows(float (&out)[N / 2], const unsigned char* left, u32 left_rows, const unsigned char* right) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) out[i] = 0;
    add_rows<N, Depth>(out, left, left_rows, right);
  }
  /// out += the same.
  template <int N, int Depth>
  DEV static void add_rows(float (&out)[N / 2], const unsigned char* left, u32 left_rows, const unsigned char* right) {
    const u32 lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
#pragma unroll
    for (u32 k = 0; k < Depth / 16; ++k) {
      u32 a[4];
      ldmatrix4(a, left + k / 4 * left_rows * 128 + swizzled(row + lane % 16, k % 4 * 2 + lane / 16));
#pragma unroll
      for (u32 j = 0; j < N / 16; ++j) {
        u32 b[4];
        ldmatrix4(b, right + k / 4 * N * 128 + swizzled(j * 16 + lane / 16 * 8 + lane % 8, k % 4 * 2 + lane / 8 % 2));
        mma_bf16(block(out, 2 * j), a, b[0], b[1]);
        mma_bf16(block(out, 2 * j + 1), a, b[2], b[3]);
      }
    }
  }

  /// sum [16, Width] += left·right: left [16, Depth] packed, right [Depth][Width].
  template <int Depth, int Width>
  DEV static void begin_columns(float (&sum)[Width / 2], const u32 (&left)[Depth / 16][4], const unsigned char* right) {
    const u32 lane = threadIdx.x % 32;
#pragma unroll
    for (u32 k = 0; k < Depth / 16; ++k)
#pragma unroll
      for (u32 j = 0; j < Width / 16; ++j) {
        u32 b[4];
        ldmatrix4_trans(b, right + j / 4 * Depth * 128 + swizzled(k * 16 + lane / 8 % 2 * 8 + lane % 8, j % 4 * 2 + lane / 16));
        mma_bf16(block(sum, 2 * j), left[k], b[0], b[1]);
        mma_bf16(block(sum, 2 * j + 1), left[k], b[2], b[3]);
      }
  }

 private:
  template <int Count>
  DEV static float (&block(float (&numbers)[Count], u32 j))[4] {
    return reinterpret_cast<float (&)[4]>(numbers[4 * j]);
  }
};

/// wgmma, sm_90a: the four warps of a warpgroup together, 64 rows.
struct WarpgroupEngine {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static constexpr bool here = true;
  /// By every thread after what it wrote to shared memory, before the barrier behind which products read it.
  DEV static void publish() { fence_proxy_async(); }
  DEV static void fence() { wgmma_fence(); }
  DEV static void commit() { wgmma_commit(); }
  template <int Left>
  DEV static void wait() {
    wgmma_wait<Left>();
  }

  template <int N, int Depth>
  DEV static void begin_rows(float (&out)[N / 2], const unsigned char* left, u32 left_rows, const unsigned char* right) {
    const u64 a = descriptor(left + threadIdx.x / 128 * 64 * 128, 16, 1024), b = descriptor(right, 16, 1024);
#pragma unroll
    for (u32 k = 0; k < Depth / 16; ++k)
      wgmma_ss<N, 0, 0>(out, advance(a, k / 4 * left_rows * 128 + k % 4 * 32), advance(b, k / 4 * N * 128 + k % 4 * 32), k > 0);
  }

  template <int Depth, int Width>
  DEV static void begin_columns(float (&sum)[Width / 2], const u32 (&left)[Depth / 16][4], const unsigned char* right) {
    const u64 b = descriptor(right, Depth * 128, 1024);
#pragma unroll
    for (u32 k = 0; k < Depth / 16; ++k) wgmma_rs<Width, 1>(sum, left[k], advance(b, k * 16 * 128), 1);
  }
#else
  static constexpr bool here = false;
#endif
};

}  // namespace fedlora::cuda
