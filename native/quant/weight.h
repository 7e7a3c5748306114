/// The encoders' input: a weight [N, K] of F32, F16 or BF16 numbers or of GGUF's blocks, read as float32.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "tensor/source.h"

namespace fedlora {

/// The magnitudes of floats order as their bits do; infinity and NaN are the largest.
inline constexpr int32_t infinity_bits = 0x7f800000;

inline int32_t magnitude_bits(float x) { return std::bit_cast<int32_t>(x) & 0x7fffffff; }

/// Bits of the largest magnitude; ≥ infinity_bits when an element is not finite.
inline int32_t max_magnitude_bits(const float* x, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, magnitude_bits(x[i]));
  return largest;
}

/// to_f32(f16) for finite numbers without a branch: scaling by 2^112 rebiases the exponent and normalises subnormals, exactly.
/// Infinity and NaN come out as magnitudes ≥ 65536, which no finite f16 has; load_weight turns them into infinity.
inline float finite_f16_to_f32(uint16_t bits) {
  const float magnitude = std::bit_cast<float>(static_cast<uint32_t>(bits & 0x7fffu) << 13) * 0x1p112f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | static_cast<uint32_t>(bits & 0x8000u) << 16);
}

/// Throws E_SHAPE unless the view is [N ≥ 1, K ≥ 1] with bytes to match, E_DTYPE unless F32, F16, BF16 or blocked.
void check_weight(const TensorView& weight);

/// Elements [first, first + count) as float32; bounds are the caller's duty. What is not finite stays not finite.
void load_weight(const TensorView& weight, int64_t first, int64_t count, float* out);

/// Finds the first element whose magnitude is not below `limit` (65520 for f16; infinity for none) and throws E_NONFINITE with its index.
[[noreturn]] void fail_nonfinite(const TensorView& weight, float limit);

}  // namespace fedlora
