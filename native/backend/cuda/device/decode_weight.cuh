/// A frozen matrix in the activations' element type (quant/matrix.h), the very numbers that the CPU's kernels decode: one rounding of f32.
/// Grid: a thread decode_each pieces of eight elements, decode_threads pieces apart, so that a warp's accesses lie side by side and several
/// are under way. The last piece may be cut.
#pragma once
#include "backend/cuda/device/piece.cuh"
#include "backend/cuda/device/rows.cuh"
#include "quant/codebook.h"

namespace fedlora::cuda {

constexpr int decode_threads = 256, decode_each = 4, decode_block = decode_threads * decode_each * wide_piece;

struct CodeTable {
  float value[16];
};

/// piece(first): the eight numbers from element `first` on; one(i): the number of element i, for the last piece.
template <class T, class Pieces, class Ones>
DEV void decode_pieces(int64_t count, T* out, const Pieces& piece, const Ones& one) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * decode_block + threadIdx.x * wide_piece;
#pragma unroll
  for (int i = 0; i < decode_each; ++i) {
    const int64_t first = begin + i * (decode_threads * wide_piece);
    if (first + wide_piece <= count)
      store_piece(out + first, piece(first));
    else
      for (int64_t at = first; at < count; ++at) store(out + at, one(at));
  }
}

/// elements of nf4 or fp4: w = codebook[code] × absmax[i / block], high nibble first; `block_bits`: log₂ of the block, 3 at least. The
/// table lies in shared memory, where the 32 codes of a warp are looked up at once.
template <class T>
__global__ void __launch_bounds__(decode_threads)
    decode_codes_kernel(int64_t count, int block_bits, const unsigned char* codes, const float* absmax,
                        const __grid_constant__ CodeTable table, T* out) {
  FED_SHARED(shared);
  float* const value = reinterpret_cast<float*>(shared);
  if (threadIdx.x < 16) value[threadIdx.x] = table.value[threadIdx.x];
  __syncthreads();  // the table is there
  const auto piece = [&](int64_t first) {
    const u32 word = reinterpret_cast<const u32*>(codes)[first / wide_piece];
    const float scale = absmax[first >> block_bits];
    Piece<wide_piece> numbers;
#pragma unroll
    for (int i = 0; i < wide_piece; ++i) numbers[i] = __fmul_rn(value[word >> (i / 2 * 8 + (i % 2 == 0 ? 4 : 0)) & 15], scale);
    return numbers;
  };
  decode_pieces(count, out, piece, [&](int64_t i) {
    const u32 byte = codes[i / 2];
    return __fmul_rn(value[i % 2 == 0 ? byte >> 4 : byte & 15], absmax[i >> block_bits]);
  });
}

/// w = (q × absmax[row]) / 127, two roundings.
DEV float from_int8(int code, float absmax) { return __fdiv_rn(__fmul_rn(static_cast<float>(code), absmax), 127.0f); }

template <class T>
__global__ void __launch_bounds__(decode_threads)
    decode_int8_kernel(int64_t count, int64_t K, const signed char* codes, const float* absmax, T* out) {
  const auto piece = [&](int64_t first) {
    const uint2 words = reinterpret_cast<const uint2*>(codes)[first / wide_piece];
    int64_t row = first / K, column = first % K;
    Piece<wide_piece> numbers;
#pragma unroll
    for (int i = 0; i < wide_piece; ++i) {
      numbers[i] = from_int8(static_cast<signed char>((i < 4 ? words.x : words.y) >> i % 4 * 8), absmax[row]);
      if (++column == K) column = 0, ++row;
    }
    return numbers;
  };
  decode_pieces(count, out, piece, [&](int64_t i) { return from_int8(codes[i], absmax[i / K]); });
}

template <class From, class T>
__global__ void __launch_bounds__(decode_threads) decode_plain_kernel(int64_t count, const From* from, T* out) {
  const auto piece = [&](int64_t first) {
    Piece<wide_piece> numbers;
#pragma unroll
    for (int i = 0; i < wide_piece; ++i) numbers[i] = number(from[first + i]);
    return numbers;
  };
  decode_pieces(count, out, piece, [&](int64_t i) { return number(from[i]); });
}

}  // namespace fedlora::cuda
