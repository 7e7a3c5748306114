/// Kernels of kernels.h between floats and bits, with AVX-512, where a comparison of sixteen floats is a word of bits.
#pragma once
#include <cstdint>

namespace fedlora {

/// select_mask, encode_signs and decode_signs of CodecKernels.
void select_mask_avx512(const float* target, int64_t count, uint32_t threshold, uint64_t* masks);
void encode_signs_avx512(const float* target, const float* scales, int64_t blocks, uint8_t* bits, float* residual);
void decode_signs_avx512(const uint8_t* bits, const float* scales, int64_t blocks, float* values);

}  // namespace fedlora
