/// Rows picked, put back and looked up (ops.def: embedding_forward, gather_rows, scatter_rows). Grid: a block a row; its threads go along
/// it.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "base/half.h"

namespace fedlora::cuda {

constexpr int row_threads = 128;

DEV float number(float value) { return value; }
DEV float number(bf16 value) { return widen(value.bits); }
/// Finite f16, as weights are: exponent and mantissa at f32's places, then 2^(127 − 15), which also makes subnormals right.
DEV float number(f16 value) {
  const u32 sign = static_cast<u32>(value.bits & 0x8000u) << 16;
  return __uint_as_float(sign | static_cast<u32>(value.bits & 0x7fffu) << 13) * 0x1p112f;
}

template <class T>
__global__ void __launch_bounds__(row_threads) embedding_kernel(int64_t K, const int32_t* ids, const T* table, float multiplier, float* x) {
  const T* from = table + ids[blockIdx.x] * K;
  float* to = x + static_cast<int64_t>(blockIdx.x) * K;
  for (int64_t k = threadIdx.x; k < K; k += row_threads) to[k] = multiplier * number(from[k]);
}

/// Row rows[i] to row i (Gather), or row i to row rows[i]. A row is `length` pieces of 16 or of 2 bytes.
template <class Piece, bool Gather>
__global__ void __launch_bounds__(row_threads) move_rows_kernel(int64_t length, const int32_t* rows, const Piece* from, Piece* to) {
  const int64_t here = static_cast<int64_t>(blockIdx.x) * length, there = static_cast<int64_t>(rows[blockIdx.x]) * length;
  for (int64_t i = threadIdx.x; i < length; i += row_threads) to[(Gather ? here : there) + i] = from[(Gather ? there : here) + i];
}

}  // namespace fedlora::cuda
