/// Losses of rows of logits, and their gradient. Grid: a block a row; its threads go along the vocabulary.
///
///   loss = log Σ exp(l − most) + (most − l[target])        gradient[v] = factor · (exp(l[v] − most) / Σ − [v = target])
///
/// A thread sums every 256th logit in ascending order, then lanes by butterflies and warps in order: an order that V alone decides.
#pragma once
#include <cmath>

#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int cross_entropy_threads = 256;

/// The largest so far, the first place where it is, and Σ exp(l − most).
struct SoftmaxState {
  float most = -INFINITY;
  int64_t place = 0;
  float sum = 0;

  DEV void add(float logit, int64_t at) {
    if (logit > most) {
      sum = sum * expf(most - logit) + 1.0f;
      most = logit;
      place = at;
    } else {
      sum += expf(logit - most);
    }
  }
  /// Joins one whose logits may lie before or behind. An empty one, of most −∞ and sum 0, adds nothing to another.
  DEV void join(const SoftmaxState& other) {
    if (other.sum == 0) return;  // also where both are empty: −∞ less −∞ is no number
    const float both = fmaxf(most, other.most);
    if (other.most > most || (other.most == most && other.place < place)) place = other.place;
    sum = sum * expf(most - both) + other.sum * expf(other.most - both);
    most = both;
  }
};

DEV SoftmaxState shuffled(const SoftmaxState& state, int distance) {
  SoftmaxState other;
  other.most = __shfl_xor_sync(whole_warp, state.most, distance);
  other.place = __shfl_xor_sync(whole_warp, state.place, distance);
  other.sum = __shfl_xor_sync(whole_warp, state.sum, distance);
  return other;
}

/// logits f32 [rows,V] → losses [rows], correct [rows] or null, gradient [rows,V] or null, which may lie over the logits when T is float.
/// factors [rows]: what the gradient is multiplied by, times `scale`; not read without a gradient.
template <class T>
__global__ void __launch_bounds__(cross_entropy_threads)
    cross_entropy_kernel(int64_t V, const float* logits, const int32_t* targets, const float* factors, float scale, float* losses,
                         unsigned char* correct, T* gradient) {
  FED_SHARED(shared);
  SoftmaxState* const states = reinterpret_cast<SoftmaxState*>(shared);  // [warps]
  const int64_t row = blockIdx.x;
  const float* const own = logits + row * V;
  const int64_t target = targets[row];
  const float at_target = own[target];
  SoftmaxState state;
  for (int64_t v = threadIdx.x; v < V; v += cross_entropy_threads) state.add(own[v], v);
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) state.join(shuffled(state, distance));
  if (threadIdx.x % 32 == 0) states[threadIdx.x / 32] = state;
  __syncthreads();  // every warp's state is there, and the target's logit was read by all
  state = states[0];
  for (int warp = 1; warp < cross_entropy_threads / 32; ++warp) state.join(states[warp]);
  if (threadIdx.x == 0) {
    losses[row] = (state.most - at_target) + logf(state.sum);
    if (correct != nullptr) correct[row] = state.place == target;
  }
  if (gradient == nullptr) return;
  const float factor = factors[row] * scale;
  for (int64_t v = threadIdx.x; v < V; v += cross_entropy_threads) {
    const float probability = expf(own[v] - state.most) / state.sum;
    store(gradient + row * V + v, factor * (v == target ? probability - 1.0f : probability));
  }
}

}  // namespace fedlora::cuda
