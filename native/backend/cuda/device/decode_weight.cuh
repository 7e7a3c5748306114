/// A frozen matrix in the activations' element type (quant/matrix.h), the very numbers that the CPU's kernels decode: one rounding of f32.
/// Grid: a thread eight elements, which are four bytes of codes and, where the block is a multiple of 8, one scale.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/device/rows.cuh"
#include "quant/codebook.h"

namespace fedlora::cuda {

constexpr int decode_threads = 256, decode_each = 8;

struct CodeTable {
  float value[16];
};

/// elements of nf4 or fp4: w = codebook[code] × absmax[i / block], high nibble first.
template <class T>
__global__ void __launch_bounds__(decode_threads)
    decode_codes_kernel(int64_t count, int block, const unsigned char* codes, const float* absmax, const __grid_constant__ CodeTable table,
                        T* out) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * decode_threads + threadIdx.x) * decode_each;
  if (first >= count) return;
  const float scale = absmax[first / block];
#pragma unroll
  for (int i = 0; i < decode_each; ++i) {
    if (first + i >= count) return;
    const u32 byte = codes[(first + i) / 2];
    store(out + first + i, __fmul_rn(table.value[i % 2 == 0 ? byte >> 4 : byte & 15], scale));
  }
}

/// int8: w = (q × absmax[row]) / 127, two roundings.
template <class T>
__global__ void __launch_bounds__(decode_threads)
    decode_int8_kernel(int64_t count, int64_t K, const signed char* codes, const float* absmax, T* out) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * decode_threads + threadIdx.x) * decode_each;
  for (int64_t i = first; i < first + decode_each && i < count; ++i)
    store(out + i, __fdiv_rn(__fmul_rn(static_cast<float>(codes[i]), absmax[i / K]), 127.0f));
}

template <class From, class T>
__global__ void __launch_bounds__(decode_threads) decode_plain_kernel(int64_t count, const From* from, T* out) {
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * decode_threads + threadIdx.x) * decode_each;
  for (int64_t i = first; i < first + decode_each && i < count; ++i) store(out + i, number(from[i]));
}

}  // namespace fedlora::cuda
