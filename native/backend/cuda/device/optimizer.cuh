/// Flat vectors in f32 (ops.def: sum_of_squares, gradient_terms, adamw, sgd). Grid: flat_block elements a block, one after another for each
/// thread. Vectors may begin anywhere, so that accesses are of 4 bytes, side by side in a warp.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int flat_threads = 256, flat_each = 4, flat_block = flat_threads * flat_each;
constexpr int square_threads = 256, square_block = 4096;
constexpr unsigned square_shared = square_threads / 32 * sizeof(double);

/// The sum over a block, in thread 0: over each warp by warp_sum, then the warps in order.
DEV double block_sum(double value) {
  FED_SHARED(memory);
  double* sums = reinterpret_cast<double*>(memory);
  const double sum = warp_sum(value);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();  // every warp's sum stands before one thread reads them
  double total = 0;
  if (threadIdx.x == 0)
    for (int warp = 0; warp < square_threads / 32; ++warp) total += sums[warp];
  return total;
}

/// partial[b] = Σ x² over block b of 4,096.
__global__ void __launch_bounds__(square_threads) square_kernel(int64_t count, const float* x, double* partial) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * square_block;
  double sum = 0;
  for (int i = 0; i < square_block / square_threads; ++i) {
    const int64_t at = begin + i * square_threads + threadIdx.x;
    if (at < count) sum += static_cast<double>(x[at]) * static_cast<double>(x[at]);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// One block: the sum of the partial ones.
__global__ void __launch_bounds__(square_threads) sum_kernel(int64_t count, const double* partial, double* result) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += square_threads) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *result = sum;
}

/// body(i) for every element of this thread.
template <class Body>
DEV void each_element(int64_t count, const Body& body) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * flat_block + threadIdx.x;
#pragma unroll
  for (int i = 0; i < flat_each; ++i)
    if (begin + i * flat_threads < count) body(begin + i * flat_threads);
}

/// anchor, correction: null to leave them out.
__global__ void __launch_bounds__(flat_threads)
    gradient_terms_kernel(float mu, int64_t count, const float* parameter, const float* anchor, const float* correction, float* gradient) {
  each_element(count, [&](int64_t i) {
    float g = gradient[i];
    if (anchor != nullptr) g += mu * (parameter[i] - anchor[i]);
    if (correction != nullptr) g += correction[i];
    gradient[i] = g;
  });
}

/// The numbers of one step of AdamW, worked out in double on the host.
struct AdamWNumbers {
  float grad_scale, keep, one_minus_beta1, beta2, one_minus_beta2, root_correction2, epsilon, step_size;
};

__global__ void __launch_bounds__(flat_threads)
    adamw_kernel(AdamWNumbers n, int64_t count, float* parameter, float* gradient, float* moment1, float* moment2) {
  each_element(count, [&](int64_t i) {
    const float g = gradient[i] * n.grad_scale;
    const float m = moment1[i] + n.one_minus_beta1 * (g - moment1[i]);
    const float v = moment2[i] * n.beta2 + n.one_minus_beta2 * g * g;
    parameter[i] = parameter[i] * n.keep - n.step_size * (m / (sqrtf(v) / n.root_correction2 + n.epsilon));
    moment1[i] = m;
    moment2[i] = v;
    gradient[i] = 0;
  });
}

/// momentum_buffer null: no momentum.
__global__ void __launch_bounds__(flat_threads)
    sgd_kernel(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, int64_t count, float* parameter,
               float* gradient, float* momentum_buffer) {
  each_element(count, [&](int64_t i) {
    float update = gradient[i] * grad_scale + weight_decay * parameter[i];
    if (momentum_buffer != nullptr) {
      if (!first_step) update += momentum * momentum_buffer[i];
      momentum_buffer[i] = update;
    }
    parameter[i] -= learning_rate * update;
    gradient[i] = 0;
  });
}

}  // namespace fedlora::cuda
