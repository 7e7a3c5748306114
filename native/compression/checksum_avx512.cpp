// Four segments by carry-less products of 512 bits.
#include "compression/checksum_avx512.h"

#include "base/cpu_features.h"
#include "compression/checksum.h"
#if defined(__x86_64__)
#include <immintrin.h>

#include "base/cpu_x86.h"
#include "base/target.h"
#include "compression/fold_avx512.h"
#endif

namespace fedlora {

#if defined(__x86_64__)
FEDLORA_CLMUL void four_segments_clmul(const uint8_t* p, uint32_t* checksums) {
  constexpr size_t segment = checksum_segment_bytes;
  const __m512i far = fold_by<2048>(), near = fold_by<512>();
  for (int s = 0; s < 4; ++s, p += segment) {
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    __m512i c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    for (size_t i = 256; i < segment; i += 256) {
      a = folded(a, far, _mm512_loadu_si512(p + i)), b = folded(b, far, _mm512_loadu_si512(p + i + 64));
      c = folded(c, far, _mm512_loadu_si512(p + i + 128)), d = folded(d, far, _mm512_loadu_si512(p + i + 192));
    }
    checksums[s] = fold_last(folded(folded(folded(a, near, b), near, c), near, d));
  }
}

bool has_vector_clmul() { return select_isa() == Isa::avx512bf16 && x86_features().vpclmulqdq && x86_features().pclmul; }
#else
bool has_vector_clmul() { return false; }
void four_segments_clmul(const uint8_t*, uint32_t*) {}
#endif

}  // namespace fedlora
