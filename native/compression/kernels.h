/// The inner loops of the codecs as a table of functions, one table an instruction set. Every table gives the same bits: the loops
/// are compiled from one source (kernels_body.h) and contain no contraction and no reordered float sum.
/// Kernels allocate nothing, throw nothing, check nothing. Counts are elements; `blocks` are update_block elements each, those of signs
/// sign_block.
#pragma once
#include <cstdint>

#include "base/cpu_features.h"

namespace fedlora {

/// The smallest non-zero and the largest magnitude as bit patterns of the stored type; smallest is all ones when all are zero.
struct MagnitudeBits {
  uint32_t smallest, largest;
};

struct CodecKernels {
  Isa isa;
  /// target = update + residual (null: + nothing). Returns the largest bit pattern of |target|.
  uint32_t (*add_residual)(const float* update, const float* residual, float* target, int64_t count);
  /// largest[b] = largest bit pattern of |target| in block b.
  void (*block_largest)(const float* target, int64_t blocks, uint32_t* largest);
  /// Stochastic rounding of target / scale to integers of magnitude ≤ limit; element i of the update draws from Philox by its index
  /// (kernels_body.h). residual = target − code · scale, unless null.
  void (*quantize)(const float* target, const float* scales, int64_t blocks, int limit, uint64_t seed, uint64_t first, int8_t* codes,
                   float* residual);
  /// values = codes · scale for `count` elements that begin at a block.
  void (*dequantize)(const int8_t* codes, const float* scales, int64_t count, float* values);
  /// Two codes of 4 bits a byte, low nibble first.
  void (*pack_int4)(const int8_t* codes, int64_t bytes, uint8_t* packed);
  void (*unpack_int4)(const uint8_t* packed, int64_t bytes, int8_t* codes);
  /// To the nearest bf16 (ties to even), at most the largest finite one in magnitude; residual as above.
  void (*encode_bf16)(const float* target, int64_t count, uint16_t* words, float* residual);
  /// `words`: bf16 in place in a message, two bytes each, at any address.
  void (*decode_bf16)(const uint8_t* words, int64_t count, float* values);
  MagnitudeBits (*range_f32)(const float* values, int64_t count);
  MagnitudeBits (*range_bf16)(const uint8_t* words, int64_t count);
  /// bins = |target| bits >> 20: 8 bits of exponent, 3 of mantissa.
  void (*magnitude_bins)(const float* target, int64_t count, uint16_t* bins);
  /// digits = 10 bits of the pattern of |target| from bit `shift` on where those above are `prefix`; 1024 elsewhere.
  void (*magnitude_digits)(const float* target, int64_t count, uint32_t prefix, int shift, uint16_t* digits);
  /// Bit j of masks[i] says whether |target[64 i + j]| has a bit pattern of at least `threshold`. count is a multiple of 64.
  void (*select_mask)(const float* target, int64_t count, uint32_t threshold, uint64_t* masks);
  /// sums[b] = Σ |target| over sign block b, in double, in an order of its own: sixteen running sums, then those from the first on.
  void (*sum_magnitudes)(const float* target, int64_t blocks, double* sums);
  /// Bit i mod 8 of byte i / 8 says whether target[i] is negative; residual = target ∓ scale of its block, unless null.
  void (*encode_signs)(const float* target, const float* scales, int64_t blocks, uint8_t* bits, float* residual);
  /// values = ±scale.
  void (*decode_signs)(const uint8_t* bits, const float* scales, int64_t blocks, float* values);
  /// Σ a·b, in double, in sixteen running sums that are added up from the first on.
  double (*dot)(const float* a, const float* b, int64_t count);
  /// sums += factor · values.
  void (*add_scaled)(double factor, const float* values, int64_t count, double* sums);
  /// values[j] = Σ_r p[r] · q[r · stride + j], each sum in float32 in the order of r; rank ≥ 1.
  void (*low_rank_row)(const float* p, const float* q, int64_t rank, int64_t stride, int64_t count, float* values);
};

/// The table of one level; the levels that this build lacks fall back to the next weaker one. arm64 has one table: NEON belongs to its
/// floor, and compilers make these loops of it (all of them, Philox's wide products too).
const CodecKernels& codec_kernels(Isa isa);

/// The table of select_isa(), chosen at the first call.
const CodecKernels& codec_kernels();

}  // namespace fedlora
