/// CRC32C of whole segments by carry-less products of 512 bits. Include <immintrin.h> before.
/// Folding: with bit i of a word standing for x^(63-i), a carry-less product of two words is their product times x. A lane of 128 bits,
/// low word L before high word H, moved D bits forward is L·x^(64+D) + H·x^D, congruent modulo P to two products with 32-bit constants.
/// So a stretch of the message may be replaced by its folded sum into the bytes D bits further on, and only the last 64 bytes of a
/// segment remain for the plain CRC. Source: Gopal et al. 2009, "Fast CRC computation using PCLMULQDQ".
#pragma once
#include <cstdint>

#include "base/target.h"
#include "compression/checksum.h"

#define FEDLORA_CLMUL FEDLORA_TARGET("avx512f,avx512vl,avx512bw,avx512dq,vpclmulqdq,pclmul,sse4.2")

namespace fedlora {

/// A register · x^n mod P, reflected.
constexpr uint32_t times_power(uint32_t value, size_t n) {
  for (size_t i = 0; i < n; ++i) value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0u);
  return value;
}

/// x^n mod P as the high half of a reflected word.
constexpr int64_t fold_power(int n) { return static_cast<int64_t>(uint64_t{times_power(0x80000000u, static_cast<size_t>(n))} << 32); }

/// Constants that move by so many bits.
template <int bits>
FEDLORA_CLMUL inline __m512i fold_by() {
  constexpr int64_t low = fold_power(bits + 63), high = fold_power(bits - 1);
  return _mm512_set4_epi64(high, low, high, low);
}

FEDLORA_CLMUL inline __m512i folded(__m512i lanes, __m512i constants, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(lanes, constants, 0x00), high = _mm512_clmulepi64_epi128(lanes, constants, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // xor of three
}

/// The CRC32C of a segment whose folded sum is `lanes`. Folding begins with 0, or with the segment's first bytes.
FEDLORA_CLMUL inline uint32_t fold_last(__m512i lanes) {
  alignas(64) uint64_t rest[8];
  _mm512_store_si512(rest, lanes);
  // What the initial value ~0 of a CRC adds to that of a segment which began with 0, because a CRC is linear.
  constexpr uint32_t ones = ~times_power(~0u, 8 * checksum_segment_bytes);
  uint32_t crc = 0;
  for (uint64_t part : rest) crc = static_cast<uint32_t>(__builtin_ia32_crc32di(crc, part));
  return crc ^ ones;
}

}  // namespace fedlora
