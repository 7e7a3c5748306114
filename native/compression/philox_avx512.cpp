// Every word stands in the low half of a lane of 64 bits, whose high half is never read: the product of two words fills a lane, its low
// half is there already, and its high half needs one shift.
#include "compression/philox_avx512.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "base/target.h"
FEDLORA_UNDEFINED_VECTORS
#endif

namespace fedlora {

#if defined(__x86_64__)
FEDLORA_TARGET("avx512f") void philox64_avx512(uint64_t key, uint64_t stream, uint64_t counter, uint32_t* words) {
  constexpr int halves = 2;
  const __m512i first = _mm512_set1_epi64(0xD2511F53), second = _mm512_set1_epi64(0xCD9E8D57);
  const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), low = _mm512_set1_epi64(static_cast<uint32_t>(counter));
  __m512i c0[halves] = {_mm512_or_si512(low, lane), _mm512_or_si512(low, _mm512_add_epi64(lane, _mm512_set1_epi64(8)))};
  __m512i c1[halves], c2[halves], c3[halves];
  for (int half = 0; half < halves; ++half)
    c1[half] = _mm512_set1_epi64(static_cast<int64_t>(counter >> 32)), c2[half] = _mm512_set1_epi64(static_cast<uint32_t>(stream)),
    c3[half] = _mm512_set1_epi64(static_cast<int64_t>(stream >> 32));
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
    for (int half = 0; half < halves; ++half) {
      const __m512i p0 = _mm512_mul_epu32(first, c0[half]), p1 = _mm512_mul_epu32(second, c2[half]);
      c0[half] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1[half], key0, 0x96);  // xor of three
      c2[half] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3[half], key1, 0x96);
      c1[half] = p1, c3[half] = p0;
    }
  }
  for (int half = 0; half < halves; ++half) {
    const auto put = [&](int word, __m512i lanes) FEDLORA_TARGET("avx512f") {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 16 * word + 8 * half), _mm512_cvtepi64_epi32(lanes));
    };
    put(0, c0[half]), put(1, c1[half]), put(2, c2[half]), put(3, c3[half]);
  }
}
#else
void philox64_avx512(uint64_t, uint64_t, uint64_t, uint32_t*) {}
#endif

}  // namespace fedlora
