// Several messages in one pass: the sums are read and written once for all of them, and each message's bytes once for its checksum, its
// range and its sum, while the bytes of the tile after are on their way.
#include "aggregation/together_avx512.h"

#include <algorithm>

#include "compression/checksum.h"
#include "compression/update_reader.h"
#if defined(__x86_64__)
#include <immintrin.h>

#include "base/cpu_x86.h"
#include "base/target.h"
#include "compression/fold_avx512.h"
FEDLORA_UNDEFINED_VECTORS
#endif

namespace fedlora {

#if defined(__x86_64__)
namespace {

constexpr int64_t segment = checksum_segment_bytes, line = 64;

/// Never faults, wherever it points: the sums of the tile after are fetched too, even behind the last one.
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

FEDLORA_CLMUL inline __m512d low_half(__m512 x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
FEDLORA_CLMUL inline __m512d high_half(__m512 x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }
FEDLORA_TARGET("avx512f") inline void add_to(int64_t* low, __m512i integers) {
  _mm512_storeu_si512(low, _mm512_add_epi64(_mm512_loadu_si512(low), integers));
}

template <int count>
FEDLORA_CLMUL MagnitudeBits add_f32(int64_t* low, const FloatTile* tiles) {
  const __m512i near = fold_by<512>(), magnitude = _mm512_set1_epi32(0x7fffffff), one = _mm512_set1_epi32(1);
  __m512i largest = _mm512_setzero_si512(), least = _mm512_set1_epi32(-1);  // of the pattern less one: zero never is the smallest
  __m512d factor[count];
  for (int k = 0; k < count; ++k) factor[k] = _mm512_set1_pd(tiles[k].factor);
  for (int64_t at = 0; at < update_tile * 4; at += segment) {
    __m512i crc[count];
    for (__m512i& lanes : crc) lanes = _mm512_setzero_si512();
    for (int64_t i = at; i < at + segment; i += line, low += 16) {
      __m512i first = _mm512_loadu_si512(low), second = _mm512_loadu_si512(low + 8);
      prefetch(low + update_tile);
      prefetch(low + update_tile + 8);
#pragma GCC unroll 8
      for (int k = 0; k < count; ++k) {
        const __m512i bytes = _mm512_loadu_si512(tiles[k].bytes + i);
        prefetch(tiles[k].soon + i);
        crc[k] = folded(crc[k], near, bytes);
        const __m512i bits = _mm512_and_si512(bytes, magnitude);
        largest = _mm512_max_epu32(largest, bits);
        least = _mm512_min_epu32(least, _mm512_sub_epi32(bits, one));
        const __m512 x = _mm512_castsi512_ps(bytes);
        first = _mm512_add_epi64(first, _mm512_cvttpd_epi64(_mm512_mul_pd(low_half(x), factor[k])));
        second = _mm512_add_epi64(second, _mm512_cvttpd_epi64(_mm512_mul_pd(high_half(x), factor[k])));
      }
      _mm512_storeu_si512(low, first);
      _mm512_storeu_si512(low + 8, second);
    }
#pragma GCC unroll 8
    for (int k = 0; k < count; ++k) tiles[k].checksums[at / segment] = fold_last(crc[k]);
  }
  const uint32_t below = _mm512_reduce_min_epu32(least);
  return {below == ~0u ? ~0u : below + 1, _mm512_reduce_max_epu32(largest)};
}

/// The smallest and the largest of 32 words.
FEDLORA_CLMUL inline MagnitudeBits word_range(__m512i least, __m512i largest) {
  alignas(64) uint16_t low[32], high[32];
  _mm512_store_si512(low, least);
  _mm512_store_si512(high, largest);
  const uint32_t below = *std::min_element(low, low + 32), top = *std::max_element(high, high + 32);
  return {below == 0xffff ? ~0u : below + 1, top};
}

template <int count>
FEDLORA_CLMUL MagnitudeBits add_bf16(int64_t* low, const FloatTile* tiles) {
  static_assert(update_tile * 2 == segment);
  const __m512i near = fold_by<512>(), magnitude = _mm512_set1_epi16(0x7fff), one = _mm512_set1_epi16(1);
  __m512i largest = _mm512_setzero_si512(), least = _mm512_set1_epi16(-1);
  __m512d factor[count];
  for (int k = 0; k < count; ++k) factor[k] = _mm512_set1_pd(tiles[k].factor);
  __m512i crc[count];
  for (__m512i& lanes : crc) lanes = _mm512_setzero_si512();
  for (int64_t i = 0; i < segment; i += line, low += 32) {
    __m512d sum[4] = {_mm512_setzero_pd(), _mm512_setzero_pd(), _mm512_setzero_pd(), _mm512_setzero_pd()};
#pragma GCC unroll 8
    for (int k = 0; k < count; ++k) {
      const __m512i bytes = _mm512_loadu_si512(tiles[k].bytes + i);
      prefetch(tiles[k].soon + i);
      crc[k] = folded(crc[k], near, bytes);
      const __m512i bits = _mm512_and_si512(bytes, magnitude);
      largest = _mm512_max_epu16(largest, bits);
      least = _mm512_min_epu16(least, _mm512_sub_epi16(bits, one));
      const __m512 a = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(bytes)), 16));
      const __m512 b = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(bytes, 1)), 16));
      sum[0] = _mm512_fmadd_pd(low_half(a), factor[k], sum[0]);
      sum[1] = _mm512_fmadd_pd(high_half(a), factor[k], sum[1]);
      sum[2] = _mm512_fmadd_pd(low_half(b), factor[k], sum[2]);
      sum[3] = _mm512_fmadd_pd(high_half(b), factor[k], sum[3]);
    }
    for (int part = 0; part < 4; ++part) {
      prefetch(low + update_tile + 8 * part);
      add_to(low + 8 * part, _mm512_cvttpd_epi64(sum[part]));
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < count; ++k) tiles[k].checksums[0] = fold_last(crc[k]);
  return word_range(least, largest);
}

#define FEDLORA_IFMA FEDLORA_TARGET("avx512f,avx512vl,avx512bw,avx512dq,avx512ifma,avx512vbmi")

// Codes become code + 128, from 0 to 255, and 128 times the sum of the factors is taken off again: the multiply-add knows no signs.
template <int count>
FEDLORA_IFMA void add_codes(int64_t* low, const CodeTile* tiles, int shift) {
  const __m128i left = _mm_cvtsi32_si128(shift);
  const __m512i offset = _mm512_set1_epi8(static_cast<char>(0x80));
  alignas(64) uint8_t order[8][64];
  for (int group = 0; group < 8; ++group)
    for (int lane = 0; lane < 64; ++lane) order[group][lane] = static_cast<uint8_t>(8 * group + lane / 8);
  constexpr uint64_t lowest_bytes = 0x0101010101010101ull;
  for (int64_t block = 0; block < update_tile / update_block; ++block) {
    int64_t factors = 0;
    for (int k = 0; k < count; ++k) factors += tiles[k].factors[block];
    const __m512i excess = _mm512_set1_epi64(-128 * factors);
    for (int64_t at = block * update_block; at < (block + 1) * update_block; at += 64, low += 64) {
      __m512i sum[8];
#pragma GCC unroll 8
      for (int group = 0; group < 8; ++group) sum[group] = excess;
#pragma GCC unroll 8
      for (int k = 0; k < count; ++k) {
        const __m512i codes = _mm512_xor_si512(_mm512_loadu_si512(tiles[k].codes + at), offset);
        prefetch(tiles[k].soon + at);
        const __m512i factor = _mm512_set1_epi64(tiles[k].factors[block]);
#pragma GCC unroll 8
        for (int group = 0; group < 8; ++group) {
          const __m512i widened = _mm512_maskz_permutexvar_epi8(lowest_bytes, _mm512_load_si512(order[group]), codes);
          sum[group] = _mm512_madd52lo_epu64(sum[group], widened, factor);
        }
      }
#pragma GCC unroll 8
      for (int group = 0; group < 8; ++group) {
        prefetch(low + update_tile + 8 * group);
        add_to(low + 8 * group, _mm512_sll_epi64(sum[group], left));
      }
    }
  }
}

MagnitudeBits add_checked_f32(int64_t* low, const FloatTile* tiles, int count) {
  constexpr decltype(&add_f32<1>) bodies[] = {add_f32<1>, add_f32<2>, add_f32<3>, add_f32<4>,
                                              add_f32<5>, add_f32<6>, add_f32<7>, add_f32<8>};
  return bodies[count - 1](low, tiles);
}
MagnitudeBits add_checked_bf16(int64_t* low, const FloatTile* tiles, int count) {
  constexpr decltype(&add_bf16<1>) bodies[] = {add_bf16<1>, add_bf16<2>, add_bf16<3>, add_bf16<4>,
                                               add_bf16<5>, add_bf16<6>, add_bf16<7>, add_bf16<8>};
  return bodies[count - 1](low, tiles);
}
void add_codes_together(int64_t* low, const CodeTile* tiles, int count, int shift) {
  constexpr decltype(&add_codes<1>) bodies[] = {add_codes<1>, add_codes<2>, add_codes<3>, add_codes<4>,
                                                add_codes<5>, add_codes<6>, add_codes<7>, add_codes<8>};
  bodies[count - 1](low, tiles, shift);
}

}  // namespace

SumKernels with_kernels_together(SumKernels table) {
  static_assert(most_together == 8);
  const X86Features& has = x86_features();
  if (has.vpclmulqdq && has.pclmul) table.add_checked_f32 = add_checked_f32, table.add_checked_bf16 = add_checked_bf16;
  if (has.avx512ifma && has.avx512vbmi) table.add_codes_together = add_codes_together;
  return table;
}
#else
SumKernels with_kernels_together(SumKernels table) { return table; }
#endif

}  // namespace fedlora
