/// Root-mean-square norm of rows of K (ops.def: rms_norm, row_norm). Grid: a warp a row, norm_warps rows a block; a lane takes every 32nd
/// element, the warp adds the lanes' sums: the order depends on K alone. Outputs may be inputs where ops.def allows it: a lane reads its
/// elements before it writes them, and no other lane does.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int norm_warps = 8, norm_threads = 32 * norm_warps;

/// The row of this warp; −1 behind the last.
DEV int64_t norm_row(int64_t rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * norm_warps + threadIdx.x / 32;
  return row < rows ? row : -1;
}

/// x += delta;  rstd = 1/√(mean(x²) + eps);  y = x·rstd·weight.   delta, x_saved: or null.
template <class T>
__global__ void __launch_bounds__(norm_threads)
    rms_norm_forward_kernel(int64_t M, int64_t K, float* x, const T* delta, const float* weight, float eps, T* y, float* rstd, T* x_saved) {
  const int64_t row = norm_row(M);
  if (row < 0) return;
  const int lane = threadIdx.x % 32;
  const int64_t at = row * K;
  float squares = 0;
  for (int64_t k = lane; k < K; k += 32) {
    float value = x[at + k];
    if (delta != nullptr) x[at + k] = value += load(delta + at + k);
    if (x_saved != nullptr) store(x_saved + at + k, value);
    squares += value * value;
  }
  const float r = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(K) + eps);
  if (lane == 0) rstd[row] = r;
  for (int64_t k = lane; k < K; k += 32) store(y + at + k, x[at + k] * r * weight[k]);
}

/// The same of rows without a residual; y may be x.
template <class T>
__global__ void __launch_bounds__(norm_threads)
    row_norm_forward_kernel(int64_t rows, int64_t K, const T* x, const float* weight, float eps, T* y, float* rstd) {
  const int64_t row = norm_row(rows);
  if (row < 0) return;
  const int lane = threadIdx.x % 32;
  const int64_t at = row * K;
  float squares = 0;
  for (int64_t k = lane; k < K; k += 32) {
    const float value = load(x + at + k);
    squares += value * value;
  }
  const float r = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(K) + eps);
  if (lane == 0) rstd[row] = r;
  for (int64_t k = lane; k < K; k += 32) store(y + at + k, load(x + at + k) * r * weight[k]);
}

/// y = x·rstd·weight.
template <class T>
__global__ void __launch_bounds__(norm_threads)
    rms_norm_rebuild_kernel(int64_t M, int64_t K, const T* x, const float* rstd, const float* weight, T* y) {
  const int64_t row = norm_row(M);
  if (row < 0) return;
  const float r = rstd[row];
  for (int64_t k = threadIdx.x % 32; k < K; k += 32) store(y + row * K + k, load(x + row * K + k) * r * weight[k]);
}

/// mean(w∘d_y∘x̂) of a row, in every lane.
template <class T>
DEV float norm_projection(int64_t K, const T* d_y, const T* x, float r, const float* weight) {
  float dot = 0;
  for (int64_t k = threadIdx.x % 32; k < K; k += 32) dot += weight[k] * load(d_y + k) * (load(x + k) * r);
  return warp_sum(dot) / static_cast<float>(K);
}

/// d_x += rstd·(w∘d_y − x̂·mean(w∘d_y∘x̂)); d_x_copy: the sum rounded, or null.
template <class T>
__global__ void __launch_bounds__(norm_threads) rms_norm_backward_kernel(int64_t M, int64_t K, const T* d_y, const T* x, const float* rstd,
                                                                         const float* weight, float* d_x, T* d_x_copy) {
  const int64_t row = norm_row(M);
  if (row < 0) return;
  const int64_t at = row * K;
  const float r = rstd[row], mean = norm_projection(K, d_y + at, x + at, r, weight);
  for (int64_t k = threadIdx.x % 32; k < K; k += 32) {
    const float sum = d_x[at + k] + r * (weight[k] * load(d_y + at + k) - load(x + at + k) * r * mean);
    d_x[at + k] = sum;
    if (d_x_copy != nullptr) store(d_x_copy + at + k, sum);
  }
}

/// d_x = the same; it may be d_y.
template <class T>
__global__ void __launch_bounds__(norm_threads)
    row_norm_backward_kernel(int64_t rows, int64_t K, const T* d_y, const T* x, const float* rstd, const float* weight, T* d_x) {
  const int64_t row = norm_row(rows);
  if (row < 0) return;
  const int64_t at = row * K;
  const float r = rstd[row], mean = norm_projection(K, d_y + at, x + at, r, weight);
  for (int64_t k = threadIdx.x % 32; k < K; k += 32)
    store(d_x + at + k, r * (weight[k] * load(d_y + at + k) - load(x + at + k) * r * mean));
}

}  // namespace fedlora::cuda
