/// Gated units (ops.def: glu): h = act(gate)∘up, and its gradient.
///   silu: z·σ(z), σ(1 + z(1 − σ))      gelu_tanh: z·σ(2u), σ + 2zσ(1 − σ)·u' with u = √(2/π)(z + 0.044715 z³), σ = σ(2u)
///   relu: max(z, 0), [z > 0]
/// Grid: glu_block pieces a block; those of a thread lie glu_threads apart, so that a warp's accesses lie side by side.
#pragma once
#include "backend/cuda/device/piece.cuh"
#include "backend/ops.h"

namespace fedlora::cuda {

constexpr int glu_threads = 256, glu_each = 2, glu_block = glu_threads * glu_each;

struct Gate {
  float value, slope;
};

template <Activate kind>
DEV Gate activate(float z) {
  if constexpr (kind == Activate::relu) return {z > 0 ? z : (z != z ? z : 0.0f), z > 0 ? 1.0f : 0.0f};
  constexpr float twice_root = 1.5957691216f, cube = 0.044715f;  // 2√(2/π)
  const bool gelu = kind == Activate::gelu_tanh;
  const float s = 1.0f / (1.0f + expf(-(gelu ? z * (twice_root + twice_root * cube * z * z) : z)));
  const float inner = gelu ? twice_root + 3 * twice_root * cube * z * z : 1.0f;
  return {z * s, s + z * s * (1.0f - s) * inner};
}

/// body(at) for the first element of each piece of this thread.
template <int Width, class Body>
DEV void each_piece(int64_t count, const Body& body) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * glu_block + threadIdx.x;
#pragma unroll
  for (int i = 0; i < glu_each; ++i) {
    const int64_t at = (begin + i * glu_threads) * Width;
    if (at < count) body(at);
  }
}

template <Activate kind, int Width, class T>
__global__ void __launch_bounds__(glu_threads) glu_forward_kernel(int64_t count, const T* gate, const T* up, T* h) {
  each_piece<Width>(count, [&](int64_t at) {
    const Piece<Width> g = load_piece<Width>(gate + at), u = load_piece<Width>(up + at);
    Piece<Width> value;
#pragma unroll
    for (int i = 0; i < Width; ++i) value[i] = activate<kind>(g[i]).value * u[i];
    store_piece(h + at, value);
  });
}

/// d_gate may be gate, d_up may be up: a piece is read before it is written, by one thread. h may be null.
template <Activate kind, int Width, class T>
__global__ void __launch_bounds__(glu_threads)
    glu_backward_kernel(int64_t count, const T* gate, const T* up, const T* d_h, T* d_gate, T* d_up, T* h) {
  each_piece<Width>(count, [&](int64_t at) {
    const Piece<Width> g = load_piece<Width>(gate + at), u = load_piece<Width>(up + at), d = load_piece<Width>(d_h + at);
    Piece<Width> of_gate, of_up, value;
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      const Gate act = activate<kind>(g[i]);
      of_gate[i] = d[i] * u[i] * act.slope;
      of_up[i] = d[i] * act.value;
      value[i] = act.value * u[i];
    }
    store_piece(d_gate + at, of_gate);
    store_piece(d_up + at, of_up);
    if (h != nullptr) store_piece(h + at, value);
  });
}

}  // namespace fedlora::cuda
