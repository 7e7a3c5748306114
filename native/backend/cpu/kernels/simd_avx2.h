/// The vector abstraction on AVX2 + FMA + F16C: 8 floats. Included inside namespace fedlora::avx2, within its target region.
/// The names are explained in simd_scalar.h.

struct Vec {
  __m256 v;
};
struct Mask {
  __m256 v;
};
constexpr int W = 8;
using DotElement = float;

inline Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }

/// Lanes 0 … n−1 all ones.
inline __m256i lanes_below(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256 widen(__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); }
/// Nearest even by integer addition; NaN keeps its sign and becomes quiet.
inline __m128i narrow(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec load(const bf16* p) { return {widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
inline void store(float* p, Vec x) { _mm256_storeu_ps(p, x.v); }
inline void store(bf16* p, Vec x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(x.v)); }
inline Vec load_tail(const float* p, int64_t n) { return {_mm256_maskload_ps(p, lanes_below(n))}; }
inline Vec load_tail(const bf16* p, int64_t n) {
  alignas(16) uint16_t words[8] = {};
  for (int64_t i = 0; i < n; ++i) words[i] = p[i].bits;
  return {widen(_mm_load_si128(reinterpret_cast<const __m128i*>(words)))};
}
inline void store_tail(float* p, Vec x, int64_t n) { _mm256_maskstore_ps(p, lanes_below(n), x.v); }
inline void store_tail(bf16* p, Vec x, int64_t n) {
  alignas(16) uint16_t words[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(words), narrow(x.v));
  for (int64_t i = 0; i < n; ++i) p[i].bits = words[i];
}

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec maximum(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec minimum(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec square_root(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec round_nearest(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec negate(Vec a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }
inline Vec absolute(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Mask less(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask equal(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
inline Vec select(Mask mask, Vec yes, Vec no) { return {_mm256_blendv_ps(no.v, yes.v, mask.v)}; }
inline Vec scale_by_power(Vec x, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
  const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23));
  return {_mm256_mul_ps(_mm256_mul_ps(x.v, first), second)};
}
inline float reduce_add(Vec a) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float reduce_max(Vec a) {
  __m128 top = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  top = _mm_max_ps(top, _mm_movehl_ps(top, top));
  return _mm_cvtss_f32(_mm_max_ss(top, _mm_movehdup_ps(top)));
}

inline Vec load(const f16* p) { return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
inline Vec load(const int8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

struct Table {
  __m256 low, high;
};
inline Table make_table(const float* codebook, float absmax, const void*) {
  const __m256 scale = _mm256_set1_ps(absmax);
  return {_mm256_mul_ps(_mm256_loadu_ps(codebook), scale), _mm256_mul_ps(_mm256_loadu_ps(codebook + 8), scale)};
}
constexpr int nibbles(const void*) { return 8; }
template <class T>
inline void decode_nibbles(T* out, const Table& table, const uint8_t* p) {
  int32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  const __m256i codes = _mm256_srlv_epi32(_mm256_set1_epi32(bytes), _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24));
  const __m256 low = _mm256_permutevar8x32_ps(table.low, codes), high = _mm256_permutevar8x32_ps(table.high, codes);
  store(out, Vec{_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)))});
}

struct Codes {
  __m256i v;
};
inline Codes load_codes(const uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
inline Codes load_half_codes(const uint8_t* p) { return load_codes(p); }
struct CodeTable {
  __m256 low, high;
};
inline CodeTable make_code_table(const float* codebook) { return {_mm256_loadu_ps(codebook), _mm256_loadu_ps(codebook + 8)}; }
template <int j>
inline Vec look_up(const CodeTable& table, Codes codes) {
  const __m256i index = _mm256_srli_epi32(codes.v, 4 * j);
  return {_mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index), _mm256_permutevar8x32_ps(table.high, index),
                           _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)))};
}
inline Vec halves(float low, float) { return broadcast(low); }  // 8·W codes lie in one block

inline Vec load_dwords(const void* p) { return {_mm256_loadu_ps(static_cast<const float*>(p))}; }
inline void store_dwords(uint32_t* p, Vec x) { _mm256_storeu_ps(reinterpret_cast<float*>(p), x.v); }
FEDLORA_INLINE void transpose(Vec (&r)[8]) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
    a[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    r[i].v = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4].v = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}
struct Words {
  __m256i v;
};
inline Words same(uint32_t x) { return {_mm256_set1_epi32(static_cast<int>(x))}; }
inline Words count_from(uint32_t first) {
  return {_mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))};
}
inline void multiply_wide(Words x, uint32_t m, Words& low, Words& high) {
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32(x.v, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(x.v, 32), factor);
  low = {_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa)};
  high = {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)};
}
inline Words exclusive_or(Words a, Words b, Words c) { return {_mm256_xor_si256(_mm256_xor_si256(a.v, b.v), c.v)}; }
inline void store(uint32_t* p, Words x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.v); }

constexpr int max_vecs = 2;
constexpr int tile_rows[max_vecs + 1] = {0, 12, 6};
constexpr int outer_ranks = 4, outer_vecs = 3;

#include "backend/cpu/kernels/simd_operand_common.h"

struct Bf16Operand : F32Operand {
  using Element = bf16;
  static Value right_rows(const bf16* row, const bf16*) { return load(row); }
  static Value right_rows_tail(const bf16* row, const bf16*, int64_t n) { return load_tail(row, n); }
};
