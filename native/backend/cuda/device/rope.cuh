/// Rotary positions (ops.def: rope): pairs (i, i + D/2) of every head turn by the row's angle.   a' = a·c − b·s   b' = b·c + a·s
/// Grid: a block a row; its threads go over the row's pairs.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

constexpr int rope_threads = 128;

template <class T>
__global__ void __launch_bounds__(rope_threads)
    rope_kernel(int heads, int head_dim, const int32_t* positions, const float* cosine, const float* sine, bool inverse, T* x) {
  const int half = head_dim / 2;
  const int64_t angles = static_cast<int64_t>(positions[blockIdx.x]) * half;
  T* row = x + static_cast<int64_t>(blockIdx.x) * heads * head_dim;
  for (int pair = threadIdx.x; pair < heads * half; pair += rope_threads) {
    const int i = pair % half;
    T* first = row + pair / half * head_dim + i;
    const float a = load(first), b = load(first + half), c = cosine[angles + i], s = inverse ? -sine[angles + i] : sine[angles + i];
    store(first, a * c - b * s);
    store(first + half, b * c + a * s);
  }
}

}  // namespace fedlora::cuda
