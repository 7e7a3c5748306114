#include "compression/masks_avx512.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "base/target.h"
#include "compression/wire.h"
FEDLORA_UNDEFINED_VECTORS
#endif

namespace fedlora {

#if defined(__x86_64__)
FEDLORA_TARGET_BEGIN("avx512f,avx512dq")

void select_mask_avx512(const float* target, int64_t count, uint32_t threshold, uint64_t* masks) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff), least = _mm512_set1_epi32(static_cast<int32_t>(threshold));
  for (int64_t at = 0; at < count; at += 64) {
    uint64_t mask = 0;
    for (int part = 0; part < 4; ++part) {
      const __m512i bits = _mm512_and_si512(_mm512_loadu_si512(target + at + 16 * part), magnitude);
      mask |= static_cast<uint64_t>(_mm512_cmpge_epu32_mask(bits, least)) << (16 * part);
    }
    masks[at / 64] = mask;
  }
}

void encode_signs_avx512(const float* target, const float* scales, int64_t blocks, uint8_t* bits, float* residual) {
  const __m512i sign_bit = _mm512_set1_epi32(INT32_MIN);
  for (int64_t b = 0; b < blocks; ++b) {
    const __m512i scale = _mm512_castps_si512(_mm512_set1_ps(scales[b]));
    for (int64_t i = b * sign_block; i < (b + 1) * sign_block; i += 16) {
      const __m512 x = _mm512_loadu_ps(target + i);
      const uint16_t signs = _mm512_movepi32_mask(_mm512_castps_si512(x));
      std::memcpy(bits + i / 8, &signs, 2);
      if (residual == nullptr) continue;
      const __m512i signed_scale = _mm512_or_si512(scale, _mm512_and_si512(_mm512_castps_si512(x), sign_bit));
      _mm512_storeu_ps(residual + i, _mm512_sub_ps(x, _mm512_castsi512_ps(signed_scale)));
    }
  }
}

void decode_signs_avx512(const uint8_t* bits, const float* scales, int64_t blocks, float* values) {
  for (int64_t b = 0; b < blocks; ++b) {
    const __m512 scale = _mm512_set1_ps(scales[b]), minus = _mm512_or_ps(scale, _mm512_set1_ps(-0.0f));
    for (int64_t i = b * sign_block; i < (b + 1) * sign_block; i += 16) {
      uint16_t signs;
      std::memcpy(&signs, bits + i / 8, 2);
      _mm512_storeu_ps(values + i, _mm512_mask_blend_ps(signs, scale, minus));
    }
  }
}

FEDLORA_TARGET_END
#else
void select_mask_avx512(const float*, int64_t, uint32_t, uint64_t*) {}
void encode_signs_avx512(const float*, const float*, int64_t, uint8_t*, float*) {}
void decode_signs_avx512(const uint8_t*, const float*, int64_t, float*) {}
#endif

}  // namespace fedlora
