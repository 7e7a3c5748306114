/// bf16, e5m10 and tf32 as bits, beside float. Own code: the judge should not lean on what it judges.
#pragma once
#include <bit>
#include <cstdint>

namespace emulator {

inline float widen_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
/// To nearest, ties to even; NaN as the device gives it.
inline uint16_t narrow_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline uint32_t narrow_bf16x2(float low, float high) { return narrow_bf16(low) | static_cast<uint32_t>(narrow_bf16(high)) << 16; }
/// What the tensor cores read of a register in tf32: 10 bits of mantissa, the rest is ignored.
inline float truncate_tf32(uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000); }

}  // namespace emulator
