/// Rotary positions (ops.def: rope): pairs (i, i + D/2) of every head turn by the row's angle.   a' = a·c − b·s   b' = b·c + a·s
/// Grid: a block a row; its threads go over the row's pieces of pairs.
#pragma once
#include "backend/cuda/device/piece.cuh"

namespace fedlora::cuda {

constexpr int rope_threads = 256;

template <int Width, class T>
__global__ void __launch_bounds__(rope_threads)
    rope_kernel(int heads, int head_dim, const int32_t* positions, const float* cosine, const float* sine, bool inverse, T* x) {
  const int half = head_dim / 2, pieces = half / Width;  // of a head
  const int64_t angles = static_cast<int64_t>(positions[blockIdx.x]) * half;
  const float direction = inverse ? -1.0f : 1.0f;
  T* const row = x + static_cast<int64_t>(blockIdx.x) * heads * head_dim;
  for (int piece = threadIdx.x; piece < heads * pieces; piece += rope_threads) {
    const int i = piece % pieces * Width;
    T* const first = row + piece / pieces * head_dim + i;
    Piece<Width> a = load_piece<Width>(first), b = load_piece<Width>(first + half);
    const Piece<Width> c = load_piece<Width>(cosine + angles + i), s = load_piece<Width>(sine + angles + i);
#pragma unroll
    for (int j = 0; j < Width; ++j) {
      const float turned = a[j] * c[j] - b[j] * (direction * s[j]);
      b[j] = b[j] * c[j] + a[j] * (direction * s[j]);
      a[j] = turned;
    }
    store_piece(first, a);
    store_piece(first + half, b);
  }
}

}  // namespace fedlora::cuda
