/// Losses of rows of logits, and their gradient. Grid: a block a row; its threads go along the vocabulary.
///
///   loss = log Σ exp(l − most) + (most − l[target])        gradient[v] = factor · (exp(l[v] − most) / Σ − [v = target])
///
/// A thread sums every 256th piece of logits in ascending order, then lanes by butterflies and warps in order: an order that V alone
/// decides.
#pragma once
#include <cmath>

#include "backend/cuda/device/piece.cuh"

namespace fedlora::cuda {

constexpr int cross_entropy_threads = 256;

/// The largest so far, the first place where it is, and Σ exp(l − most).
struct SoftmaxState {
  float most = -INFINITY;
  int64_t place = 0;
  float sum = 0;

  /// Those from place `at` on.
  template <int Width>
  DEV void add(const Piece<Width>& logits, int64_t at) {
    float top = logits[0];
    int where = 0;
#pragma unroll
    for (int i = 1; i < Width; ++i)
      if (logits[i] > top) top = logits[i], where = i;
    if (top > most) {
      sum *= expf(most - top);
      most = top;
      place = at + where;
    }
#pragma unroll
    for (int i = 0; i < Width; ++i) sum += expf(logits[i] - most);
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
template <int Width, class T>
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
  for (int64_t v = static_cast<int64_t>(threadIdx.x) * Width; v < V; v += cross_entropy_threads * Width)
    state.add(load_piece<Width>(own + v), v);
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
  const float factor = factors[row] * scale, inverse = 1.0f / state.sum;
  for (int64_t v = static_cast<int64_t>(threadIdx.x) * Width; v < V; v += cross_entropy_threads * Width) {
    Piece<Width> piece = load_piece<Width>(own + v);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      const float probability = expf(piece[i] - state.most) * inverse;
      piece[i] = factor * (v + i == target ? probability - 1.0f : probability);
    }
    store_piece(gradient + row * V + v, piece);
  }
}

}  // namespace fedlora::cuda
