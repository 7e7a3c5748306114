/// One row times a frozen matrix in any format, for generation (ops.def: lora_linear_decode, head_logits_decode):
///   y[n] = scale·Σ_k x_k·W[n,k] + bias[n] + s·Σ_r h_r·B[n,r] + s·Σ_p g_p·B_res[n,p]      h = A·x, g = A_res·x
/// Weights are rounded to the activations' type as decode_weight does. Grid: a warp a row of W (or of A), matvec_warps rows a block; a lane
/// takes eight elements side by side, then those 256 further. The order of a sum depends on K and the ranks alone.
#pragma once
#include "backend/cuda/device/decode_weight.cuh"

namespace fedlora::cuda {

constexpr int matvec_warps = 8, matvec_threads = 32 * matvec_warps;

/// A frozen matrix as launch/device_matrix.h has it, but for its format.
struct FrozenRows {
  int64_t N, K;
  int block;
  const void* data;
  const float* absmax;
};

/// Factors beside W: B [N,rank], h [rank]. rank 0: none.
struct SmallFactor {
  int rank;
  const float *B, *h;
};

/// Element i of W, which lies in `row`.
template <Format format>
DEV float weight_at(const FrozenRows& W, const CodeTable& table, int64_t row, int64_t i) {
  if constexpr (format == Format::nf4 || format == Format::fp4) {
    const u32 byte = static_cast<const unsigned char*>(W.data)[i / 2];
    return __fmul_rn(table.value[i % 2 == 0 ? byte >> 4 : byte & 15], W.absmax[i / W.block]);
  } else if constexpr (format == Format::int8) {
    return __fdiv_rn(__fmul_rn(static_cast<float>(static_cast<const signed char*>(W.data)[i]), W.absmax[row]), 127.0f);
  } else if constexpr (format == Format::f32) {
    return static_cast<const float*>(W.data)[i];
  } else if constexpr (format == Format::f16) {
    return number(static_cast<const f16*>(W.data)[i]);
  } else {
    return number(static_cast<const bf16*>(W.data)[i]);
  }
}

DEV float rounded(float value, float) { return value; }
DEV float rounded(float value, bf16) { return widen(narrow(value)); }

/// Σ_k x_k·at(k) over a warp, in every lane.
template <class T, class At>
DEV float warp_dot(int64_t K, const T* x, const At& at) {
  float sum = 0;
  for (int64_t base = 8 * (threadIdx.x % 32); base < K; base += 256)
#pragma unroll
    for (int i = 0; i < 8; ++i)
      if (base + i < K) sum += load(x + base + i) * at(base + i);
  return warp_sum(sum);
}

/// h[r] = Σ_k x_k·A[r,k].
template <class T>
__global__ void __launch_bounds__(matvec_threads) lora_down_row_kernel(int rank, int64_t K, const T* x, const float* A, float* h) {
  const int r = static_cast<int>(blockIdx.x) * matvec_warps + static_cast<int>(threadIdx.x / 32);
  if (r >= rank) return;
  const float* row = A + static_cast<int64_t>(r) * K;
  const float sum = warp_dot(K, x, [&](int64_t k) { return row[k]; });
  if (threadIdx.x % 32 == 0) h[r] = sum;
}

DEV float small_dot(const SmallFactor& factor, int64_t n) {
  float sum = 0;
  for (int r = threadIdx.x % 32; r < factor.rank; r += 32) sum += factor.h[r] * factor.B[n * factor.rank + r];
  return warp_sum(sum);
}

template <Format format, class T, class Out>
__global__ void __launch_bounds__(matvec_threads)
    matvec_kernel(const __grid_constant__ FrozenRows W, const __grid_constant__ CodeTable table, const T* x, float scale, const float* bias,
                  float lora_scale, SmallFactor trained, SmallFactor frozen, Out* y) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * matvec_warps + threadIdx.x / 32;
  if (n >= W.N) return;
  const int64_t first = n * W.K;
  const float sum = warp_dot(W.K, x, [&](int64_t k) { return rounded(weight_at<format>(W, table, n, first + k), T{}); });
  const float lora = small_dot(trained, n) + small_dot(frozen, n);
  if (threadIdx.x % 32 == 0) store(y + n, scale * sum + (bias == nullptr ? 0.0f : bias[n]) + lora_scale * lora);
}

}  // namespace fedlora::cuda
