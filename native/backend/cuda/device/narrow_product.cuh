/// Products of which one side is a rank, in bf16 by mma.sync: x·Aᵀ, d_y·B (rows of a segment by rank) and d_yᵀ·h, d_hᵀ·x (sums over rows).
/// Little work on much memory: what counts is that every multiprocessor reads. The sums are therefore cut into slices, and the slices'
/// parts, f32, are added in order by join_kernel (small_tasks.cuh).
///
/// Both kernels: 128 threads, a ring of stages filled by cp.async. One barrier a step: behind it the step has arrived for everybody, and
/// everybody is through with the step before, whose stage is filled next.
#pragma once
#include "backend/cuda/device/fetch_chunk.cuh"
#include "backend/cuda/device/tensor_engine.cuh"

namespace fedlora::cuda {

/// partial[slice][m][r] = left [M, depth]·right [R, depth]ᵀ over a slice of the depth. Grid (R / Columns, M / 64, slices), a warp 16 rows.
/// A stage: left [64][64 of the depth], right [Columns][64 of the depth].
template <int Columns>
struct NarrowProduct {
  static constexpr int rows = 64, step = 64, stages = 4, threads = 128;
  static constexpr int left_bytes = rows * 128, stage_bytes = left_bytes + Columns * 128, shared_bytes = stages * stage_bytes;
};

/// Rows [row, row + Rows) and 64 columns from `column` on of a matrix [rows, columns], by all 128 threads.
template <int Rows>
DEV void fetch_box(unsigned char* box, const bf16* matrix, int64_t stride, bool aligned, int64_t row, int64_t rows, int64_t column,
                   int64_t columns) {
#pragma unroll 4
  for (u32 c = threadIdx.x; c < Rows * 8; c += 128)
    fetch_chunk(box + swizzled(c / 8, c % 8), matrix, stride, aligned, row + c / 8, rows, column + c % 8 * 8, columns);
}

template <int Columns>
__global__ void __launch_bounds__(128) narrow_product_kernel(int64_t M, int64_t R, int64_t depth, int slice, const bf16* left,
                                                             int64_t left_stride, const bf16* right, int64_t right_stride, float* partial) {
  using Tile = NarrowProduct<Columns>;
  FED_SHARED(shared);
  const int64_t m0 = static_cast<int64_t>(blockIdx.y) * Tile::rows, r0 = static_cast<int64_t>(blockIdx.x) * Columns;
  const int64_t begin = static_cast<int64_t>(blockIdx.z) * slice, end = min(depth, begin + slice);
  const bool left_aligned = in_pieces(left, left_stride), right_aligned = in_pieces(right, right_stride);
  const int steps = static_cast<int>((end - begin + Tile::step - 1) / Tile::step);
  const auto stage_of = [&](int step) { return shared + step % Tile::stages * Tile::stage_bytes; };
  const auto fetch = [&](int step) {
    if (step < steps) {
      const int64_t at = begin + step * Tile::step;
      fetch_box<Tile::rows>(stage_of(step), left, left_stride, left_aligned, m0, M, at, end);
      fetch_box<Columns>(stage_of(step) + Tile::left_bytes, right, right_stride, right_aligned, r0, R, at, end);
    }
    cp_async_commit();  // a group a step, empty ones too, so that the wait counts steps
  };
  for (int step = 0; step < Tile::stages - 1; ++step) fetch(step);
  float sum[Columns / 2] = {};
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<Tile::stages - 2>();
    __syncthreads();
    fetch(step + Tile::stages - 1);
    WarpEngine::add_rows<Columns, Tile::step>(sum, stage_of(step), Tile::rows, stage_of(step) + Tile::left_bytes);
  }
  cp_async_wait<0>();
  const u32 lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < Columns / 2; ++i) {
    const int64_t m = m0 + threadIdx.x / 32 * 16 + lane / 4 + i / 2 % 2 * 8, r = r0 + i / 4 * 8 + lane % 4 * 2 + i % 2;
    if (m < M && r < R) partial[(blockIdx.z * M + m) * R + r] = sum[i];
  }
}

/// partial[slice] = Σ_m wide[m, w]·narrow[m, r] over a slice of rows: [W][R], or `Turned` [R][W]. Grid (W / 128, R / Columns, slices), a
/// warp 32 of W. A stage: wide, two boxes of [64 rows][64] · narrow [64 rows][Columns].
template <int Columns>
struct NarrowRowSum {
  static constexpr int wide = 128, step = 64, stages = 3, threads = 128, box_bytes = step * 128;
  static constexpr int stage_bytes = 3 * box_bytes, shared_bytes = stages * stage_bytes;
};

template <int Columns, bool Turned>
__global__ void __launch_bounds__(128)
    narrow_row_sum_kernel(int64_t rows, int64_t W, int64_t R, int64_t slice_rows, const bf16* wide, int64_t wide_stride, const bf16* narrow,
                          int64_t narrow_stride, float* partial) {
  using Tile = NarrowRowSum<Columns>;
  FED_SHARED(shared);
  const int64_t w0 = static_cast<int64_t>(blockIdx.x) * Tile::wide, r0 = static_cast<int64_t>(blockIdx.y) * Columns;
  const int64_t begin = static_cast<int64_t>(blockIdx.z) * slice_rows, end = min(rows, begin + slice_rows);
  const bool wide_aligned = in_pieces(wide, wide_stride), narrow_aligned = in_pieces(narrow, narrow_stride);
  const int steps = static_cast<int>((end - begin + Tile::step - 1) / Tile::step);
  const auto stage_of = [&](int step) { return shared + step % Tile::stages * Tile::stage_bytes; };
  const auto fetch = [&](int step) {
    if (step < steps) {
      unsigned char* const stage = stage_of(step);
      const int64_t at = begin + step * Tile::step;
      fetch_box<Tile::step>(stage, wide, wide_stride, wide_aligned, at, end, w0, W);
      fetch_box<Tile::step>(stage + Tile::box_bytes, wide, wide_stride, wide_aligned, at, end, w0 + 64, W);
      for (u32 c = threadIdx.x; c < Tile::step * Columns / 8; c += Tile::threads)
        fetch_chunk(stage + 2 * Tile::box_bytes + swizzled(c / (Columns / 8), c % (Columns / 8)), narrow, narrow_stride, narrow_aligned,
                    at + c / (Columns / 8), end, r0 + c % (Columns / 8) * 8, R);
    }
    cp_async_commit();  // a group a step, empty ones too, so that the wait counts steps
  };
  for (int step = 0; step < Tile::stages - 1; ++step) fetch(step);
  const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float sum[2][Columns / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<Tile::stages - 2>();
    __syncthreads();
    fetch(step + Tile::stages - 1);
    const unsigned char *const box = stage_of(step) + warp / 2 * Tile::box_bytes, *const columns = stage_of(step) + 2 * Tile::box_bytes;
#pragma unroll
    for (u32 k = 0; k < Tile::step / 16; ++k) {
      u32 a[2][4];
#pragma unroll
      for (u32 i = 0; i < 2; ++i)  // turned as they are read: rows of the product are columns of the box
        ldmatrix4_trans(a[i], box + swizzled(k * 16 + lane / 16 * 8 + lane % 8, warp % 2 * 4 + i * 2 + lane / 8 % 2));
#pragma unroll
      for (u32 j = 0; j < Columns / 16; ++j) {
        u32 b[4];
        ldmatrix4_trans(b, columns + swizzled(k * 16 + lane / 8 % 2 * 8 + lane % 8, j * 2 + lane / 16));
#pragma unroll
        for (u32 i = 0; i < 2; ++i) {
          mma_bf16(sum[i][2 * j], a[i], b[0], b[1]);
          mma_bf16(sum[i][2 * j + 1], a[i], b[2], b[3]);
        }
      }
    }
  }
  cp_async_wait<0>();
#pragma unroll
  for (u32 i = 0; i < 2; ++i)
#pragma unroll
    for (u32 j = 0; j < Columns / 8; ++j)
#pragma unroll
      for (u32 e = 0; e < 4; ++e) {
        const int64_t w = w0 + warp * 32 + i * 16 + lane / 4 + e / 2 * 8, r = r0 + j * 8 + lane % 4 * 2 + e % 2;
        if (w < W && r < R) partial[blockIdx.z * W * R + (Turned ? r * W + w : w * R + r)] = sum[i][j][e];
      }
}

}  // namespace fedlora::cuda
