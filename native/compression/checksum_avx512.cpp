// Four segments by carry-less products of 512 bits.
// Folding: with bit i of a word standing for x^(63-i), a carry-less product of two words is their product times x. A lane of 128 bits,
// low word L before high word H, moved D bits forward is L·x^(64+D) + H·x^D, congruent modulo P to two products with 32-bit constants.
// So a stretch of the message may be replaced by its folded sum into the bytes D bits further on, and only the last 64 bytes of a
// segment remain for the plain CRC. Source: Gopal et al. 2009, "Fast CRC computation using PCLMULQDQ".
#include "compression/checksum_avx512.h"

#include "base/cpu_features.h"
#include "compression/checksum.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fedlora {

#if defined(__x86_64__)
namespace {
constexpr size_t segment = checksum_segment_bytes;

/// x^n mod P as the high half of a reflected word.
constexpr uint64_t power(int n) {
  uint32_t value = 0x80000000u;
  for (int i = 0; i < n; ++i) value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0u);
  return static_cast<uint64_t>(value) << 32;
}

struct Fold {
  uint64_t low, high;
};
constexpr Fold fold_by(int bits) { return {power(bits + 63), power(bits - 1)}; }
constexpr Fold by_256_bytes = fold_by(2048), by_64_bytes = fold_by(512);

#define FEDLORA_CLMUL __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,vpclmulqdq,pclmul,sse4.2")))

FEDLORA_CLMUL inline __m512i folded(__m512i lanes, __m512i constants, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(lanes, constants, 0x00), high = _mm512_clmulepi64_epi128(lanes, constants, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // xor of three
}

}  // namespace

FEDLORA_CLMUL void four_segments_clmul(const uint8_t* p, uint32_t* checksums) {
  constexpr auto word = [](uint64_t bits) { return static_cast<int64_t>(bits); };
  const __m512i far = _mm512_set4_epi64(word(by_256_bytes.high), word(by_256_bytes.low), word(by_256_bytes.high), word(by_256_bytes.low));
  const __m512i near = _mm512_set4_epi64(word(by_64_bytes.high), word(by_64_bytes.low), word(by_64_bytes.high), word(by_64_bytes.low));
  for (int s = 0; s < 4; ++s, p += segment) {
    // The initial value ~0 of a CRC is the same as inverting the first 32 bits.
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128(-1)));
    __m512i b = _mm512_loadu_si512(p + 64), c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    for (size_t i = 256; i < segment; i += 256) {
      a = folded(a, far, _mm512_loadu_si512(p + i)), b = folded(b, far, _mm512_loadu_si512(p + i + 64));
      c = folded(c, far, _mm512_loadu_si512(p + i + 128)), d = folded(d, far, _mm512_loadu_si512(p + i + 192));
    }
    alignas(64) uint64_t rest[8];
    _mm512_store_si512(rest, folded(folded(folded(a, near, b), near, c), near, d));
    uint32_t crc = 0;
    for (uint64_t part : rest) crc = static_cast<uint32_t>(__builtin_ia32_crc32di(crc, part));
    checksums[s] = ~crc;
  }
}

bool has_vector_clmul() {
  return select_isa() == Isa::avx512bf16 && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul");
}
#else
bool has_vector_clmul() { return false; }
void four_segments_clmul(const uint8_t*, uint32_t*) {}
#endif

}  // namespace fedlora
