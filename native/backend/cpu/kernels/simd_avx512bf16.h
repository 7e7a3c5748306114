/// The vector abstraction on AVX-512 with BF16: 16 floats. Included inside namespace fedlora::avx512bf16, within its target region.
/// The names are explained in simd_scalar.h.

struct Vec {
  __m512 v;
};
using Mask = __mmask16;
constexpr int W = 16;
using DotElement = bf16;

inline __mmask16 lanes_below(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
/// Nearest even; like every bf16 instruction it takes numbers below 2⁻¹²⁶ for zero, which the other levels do not.
inline __m256i narrow(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load(const bf16* p) { return {widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
inline Vec load_tail(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(lanes_below(n), p)}; }
inline Vec load_tail(const bf16* p, int64_t n) { return {widen(_mm256_maskz_loadu_epi16(lanes_below(n), p))}; }
inline void store(float* p, Vec x) { _mm512_storeu_ps(p, x.v); }
inline void store(bf16* p, Vec x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(x.v)); }
inline void store_tail(float* p, Vec x, int64_t n) { _mm512_mask_storeu_ps(p, lanes_below(n), x.v); }
inline void store_tail(bf16* p, Vec x, int64_t n) { _mm256_mask_storeu_epi16(p, lanes_below(n), narrow(x.v)); }

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec dot_pairs(Vec acc, uint32_t a, const uint32_t* b) {
  return {_mm512_dpbf16_ps(acc.v, (__m512bh)_mm512_set1_epi32(static_cast<int>(a)), (__m512bh)_mm512_loadu_si512(b))};
}
inline Vec maximum(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec minimum(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec square_root(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec round_nearest(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec negate(Vec a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
inline Vec absolute(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
inline Mask equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
inline Vec select(Mask mask, Vec yes, Vec no) { return {_mm512_mask_blend_ps(mask, no.v, yes.v)}; }
inline Vec scale_by_power(Vec x, Vec n) { return {_mm512_scalef_ps(x.v, n.v)}; }
inline float reduce_add(Vec a) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float reduce_max(Vec a) {
  const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 top = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  top = _mm_max_ps(top, _mm_movehl_ps(top, top));
  return _mm_cvtss_f32(_mm_max_ss(top, _mm_movehdup_ps(top)));
}

inline Vec load(const f16* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
inline Vec load(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

struct Table {
  __m512 values;
};
inline Table make_table(const float* codebook, float absmax, const float*) {
  return {_mm512_mul_ps(_mm512_loadu_ps(codebook), _mm512_set1_ps(absmax))};
}
constexpr int nibbles(const float*) { return 16; }
/// Each dword lane gets the half of the 8 bytes that holds its nibble, shifted down; the permutation looks at the low 4 bits only.
inline void decode_nibbles(float* out, const Table& table, const uint8_t* p) {
  int64_t bytes;
  __builtin_memcpy(&bytes, p, 8);
  const __m512i half =
      _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), _mm512_set1_epi64(bytes));
  const __m512i codes = _mm512_srlv_epi32(half, _mm512_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24));
  _mm512_storeu_ps(out, _mm512_permutexvar_ps(codes, table.values));
}

/// A block has only 16 different values: they are rounded once, and the codes pick words. The 16 lie twice in the register, since the word
/// permutation looks at 5 bits.
struct WordTable {
  __m512i words;
};
inline WordTable make_table(const float* codebook, float absmax, const bf16*) {
  const __m256i words = narrow(_mm512_mul_ps(_mm512_loadu_ps(codebook), _mm512_set1_ps(absmax)));
  return {_mm512_inserti64x4(_mm512_castsi256_si512(words), words, 1)};
}
constexpr int nibbles(const bf16*) { return 32; }
inline void decode_nibbles(bf16* out, const WordTable& table, const uint8_t* p) {
  // Every byte twice, as words: the first is shifted down to the high nibble. 128-bit lane l takes bytes 4l … 4l + 3.
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i twice =
      _mm512_shuffle_epi8(bytes, _mm512_set_epi64(0x800f800f800e800e, 0x800d800d800c800c, 0x800b800b800a800a, 0x8009800980088008,
                                                  0x8007800780068006, 0x8005800580048004, 0x8003800380028002, 0x8001800180008000));
  _mm512_storeu_si512(out, _mm512_permutexvar_epi16(_mm512_srlv_epi16(twice, _mm512_set1_epi32(4)), table.words));
}

/// 8·W codes as they lie in memory: lane l holds codes 8l … 8l + 7, the j-th nibble is code 8l + (j ^ 1).
struct Codes {
  __m512i v;
};
inline Codes load_codes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
/// The first half of the lanes.
inline Codes load_half_codes(const uint8_t* p) { return {_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}; }
/// The j-th nibble of every lane, looked up among 16 values.
struct CodeTable {
  __m512 values;
};
inline CodeTable make_code_table(const float* codebook) { return {_mm512_loadu_ps(codebook)}; }
template <int j>
inline Vec look_up(const CodeTable& table, Codes codes) {
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(codes.v, 4 * j), table.values)};
}
/// `low` in the lower half of the lanes, `high` in the upper.
inline Vec halves(float low, float high) { return {_mm512_mask_blend_ps(0xff00, _mm512_set1_ps(low), _mm512_set1_ps(high))}; }

inline Vec load_dwords(const void* p) { return {_mm512_loadu_ps(p)}; }
inline void store_dwords(uint32_t* p, Vec x) { _mm512_storeu_ps(p, x.v); }
inline void store_dwords(uint32_t* p, __m512i x) { _mm512_storeu_si512(p, x); }
FEDLORA_INLINE void transpose(Vec (&r)[16]) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {  // b[4j + q], 128-bit lane l: column 4l + q of rows 4j … 4j + 3
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int q = 0; q < 4; ++q) {
    const __m512 low01 = _mm512_shuffle_f32x4(b[q], b[4 + q], 0x44), low23 = _mm512_shuffle_f32x4(b[8 + q], b[12 + q], 0x44);
    const __m512 high01 = _mm512_shuffle_f32x4(b[q], b[4 + q], 0xee), high23 = _mm512_shuffle_f32x4(b[8 + q], b[12 + q], 0xee);
    r[q].v = _mm512_shuffle_f32x4(low01, low23, 0x88);
    r[4 + q].v = _mm512_shuffle_f32x4(low01, low23, 0xdd);
    r[8 + q].v = _mm512_shuffle_f32x4(high01, high23, 0x88);
    r[12 + q].v = _mm512_shuffle_f32x4(high01, high23, 0xdd);
  }
}
inline __m512i interleave(__m256i row0, __m256i row1) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(row0), _mm512_slli_epi32(_mm512_cvtepu16_epi32(row1), 16));
}
inline void store_interleaved(uint32_t* p, Vec first, Vec second) { _mm512_storeu_si512(p, interleave(narrow(first.v), narrow(second.v))); }
inline __m256i load_words(const bf16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
struct Words {
  __m512i v;
};
inline Words same(uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
inline Words count_from(uint32_t first) {
  return {_mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)),
                           _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))};
}
inline void multiply_wide(Words x, uint32_t m, Words& low, Words& high) {
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32(x.v, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64(x.v, 32), factor);
  low = {_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32))};
  high = {_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd)};
}
inline Words exclusive_or(Words a, Words b, Words c) { return {_mm512_ternarylogic_epi32(a.v, b.v, c.v, 0x96)}; }
inline void store(uint32_t* p, Words x) { _mm512_storeu_si512(p, x.v); }

constexpr int max_vecs = 4;
constexpr int tile_rows[max_vecs + 1] = {0, 12, 12, 8, 6};
constexpr int outer_ranks = 8, outer_vecs = 2;

#include "backend/cpu/kernels/simd_operand_common.h"

/// VDPBF16PS: both products of a pair are added to an f32 sum in one instruction.
struct Bf16Operand {
  using Element = bf16;
  using Left = bf16;
  using Value = __m512i;
  static constexpr int per_step = 2;
  static Value left(const bf16* p) {
    int32_t pair;
    __builtin_memcpy(&pair, p, 4);
    return _mm512_set1_epi32(pair);
  }
  /// An odd last element, paired with zero.
  static Value left_single(const bf16* p) { return _mm512_set1_epi32(p->bits); }
  static Value right(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static Value right_rows(const bf16* row0, const bf16* row1) {
    return interleave(load_words(row0), row1 ? load_words(row1) : _mm256_setzero_si256());
  }
  static Value right_rows_tail(const bf16* row0, const bf16* row1, int64_t n) {
    const __mmask16 mask = lanes_below(n);
    return interleave(_mm256_maskz_loadu_epi16(mask, row0), row1 ? _mm256_maskz_loadu_epi16(mask, row1) : _mm256_setzero_si256());
  }
  static Vec multiply_add(Value left, Value right, Vec sum) { return {_mm512_dpbf16_ps(sum.v, (__m512bh)left, (__m512bh)right)}; }
};
