/// The vector abstraction on NEON: 4 floats; what the levels neon and neonbf16 share. simd_neon.h and simd_neonbf16.h include it behind
/// their `narrow` and add what bf16 operands are multiplied in. The names are explained in simd_scalar.h.

inline float32x4_t widen(uint16x4_t x) { return vreinterpretq_f32_u32(vshll_n_u16(x, 16)); }

inline Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
inline Vec load(const float* p) { return {vld1q_f32(p)}; }
inline uint16x4_t load_words(const bf16* p) { return vld1_u16(&p->bits); }
inline Vec load(const bf16* p) { return {widen(load_words(p))}; }
inline void store(float* p, Vec x) { vst1q_f32(p, x.v); }
inline void store(bf16* p, Vec x) { vst1_u16(&p->bits, narrow(x.v)); }
inline Vec load_tail(const float* p, int64_t n) {
  float lanes[4] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
inline uint16x4_t load_words_tail(const bf16* p, int64_t n) {
  bf16 lanes[4] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_words(lanes);
}
inline Vec load_tail(const bf16* p, int64_t n) { return {widen(load_words_tail(p, n))}; }
template <class T>
inline void store_tail(T* p, Vec x, int64_t n) {
  T lanes[4];
  store(lanes, x);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
/// NEON's own FMAX and FMIN answer NaN where either is.
inline Vec maximum(Vec a, Vec b) { return {vbslq_f32(vcgtq_f32(a.v, b.v), a.v, b.v)}; }
inline Vec minimum(Vec a, Vec b) { return {vbslq_f32(vcltq_f32(a.v, b.v), a.v, b.v)}; }
inline Vec square_root(Vec a) { return {vsqrtq_f32(a.v)}; }
inline Vec round_nearest(Vec a) { return {vrndnq_f32(a.v)}; }
inline Vec negate(Vec a) { return {vnegq_f32(a.v)}; }
inline Vec absolute(Vec a) { return {vabsq_f32(a.v)}; }
inline Mask less(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
inline Mask equal(Vec a, Vec b) { return {vceqq_f32(a.v, b.v)}; }
inline Vec select(Mask mask, Vec yes, Vec no) { return {vbslq_f32(mask.v, yes.v, no.v)}; }
inline float32x4_t power_of_two(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }
inline Vec scale_by_power(Vec x, Vec n) {
  const int32x4_t whole = vcvtq_s32_f32(n.v), half = vshrq_n_s32(whole, 1);
  return {vmulq_f32(vmulq_f32(x.v, power_of_two(half)), power_of_two(vsubq_s32(whole, half)))};
}
inline float reduce_add(Vec a) {
  const float32x2_t sum = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(sum, 0) + vget_lane_f32(sum, 1);
}
inline float reduce_max(Vec a) {
  const float32x2_t low = vget_low_f32(a.v), high = vget_high_f32(a.v), top = vbsl_f32(vcgt_f32(low, high), low, high);
  const float first = vget_lane_f32(top, 0), second = vget_lane_f32(top, 1);
  return first > second ? first : second;
}

inline Vec load(const f16* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits)))}; }
inline Vec load(const int8_t* p) {
  uint32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes)))))};
}
inline void prefetch(const void* p) { __builtin_prefetch(p); }

/// 16 values, byte k of each in planes[k], so that TBL looks up sixteen codes at once.
struct CodeTable {
  uint8x16_t planes[4];
};
inline CodeTable planes_of(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
  const uint8x16_t p = vreinterpretq_u8_f32(a), q = vreinterpretq_u8_f32(b), r = vreinterpretq_u8_f32(c), s = vreinterpretq_u8_f32(d);
  const uint8x16_t even0 = vuzp1q_u8(p, q), even1 = vuzp1q_u8(r, s), odd0 = vuzp2q_u8(p, q), odd1 = vuzp2q_u8(r, s);
  return {{vuzp1q_u8(even0, even1), vuzp1q_u8(odd0, odd1), vuzp2q_u8(even0, even1), vuzp2q_u8(odd0, odd1)}};
}
/// The values of codes 4·quarter … 4·quarter + 3 of sixteen bytes.
template <int quarter>
inline Vec look_up_quarter(const CodeTable& table, uint8x16_t codes) {
  const uint8x16_t a = vqtbl1q_u8(table.planes[0], codes), b = vqtbl1q_u8(table.planes[1], codes);
  const uint8x16_t c = vqtbl1q_u8(table.planes[2], codes), d = vqtbl1q_u8(table.planes[3], codes);
  const uint16x8_t low = vreinterpretq_u16_u8(quarter < 2 ? vzip1q_u8(a, b) : vzip2q_u8(a, b));
  const uint16x8_t high = vreinterpretq_u16_u8(quarter < 2 ? vzip1q_u8(c, d) : vzip2q_u8(c, d));
  return {vreinterpretq_f32_u16(quarter % 2 == 0 ? vzip1q_u16(low, high) : vzip2q_u16(low, high))};
}
/// Sixteen codes of eight bytes, a byte's high nibble first.
inline uint8x16_t spread_nibbles(const uint8_t* p) {
  const uint8x8_t bytes = vld1_u8(p), high = vshr_n_u8(bytes, 4), low = vand_u8(bytes, vdup_n_u8(15));
  return vcombine_u8(vzip1_u8(high, low), vzip2_u8(high, low));
}

inline CodeTable make_table(const float* codebook, float absmax, const float*) {
  return planes_of(vmulq_n_f32(vld1q_f32(codebook), absmax), vmulq_n_f32(vld1q_f32(codebook + 4), absmax),
                   vmulq_n_f32(vld1q_f32(codebook + 8), absmax), vmulq_n_f32(vld1q_f32(codebook + 12), absmax));
}
constexpr int nibbles(const void*) { return 16; }
inline void decode_nibbles(float* out, const CodeTable& table, const uint8_t* p) {
  const uint8x16_t codes = spread_nibbles(p);
  store(out, look_up_quarter<0>(table, codes)), store(out + 4, look_up_quarter<1>(table, codes));
  store(out + 8, look_up_quarter<2>(table, codes)), store(out + 12, look_up_quarter<3>(table, codes));
}

/// The 16 values of a block rounded once, their low and high bytes.
struct WordTable {
  uint8x16_t low, high;
};
inline WordTable make_table(const float* codebook, float absmax, const bf16*) {
  const uint16x4_t a = narrow(vmulq_n_f32(vld1q_f32(codebook), absmax)), b = narrow(vmulq_n_f32(vld1q_f32(codebook + 4), absmax));
  const uint16x4_t c = narrow(vmulq_n_f32(vld1q_f32(codebook + 8), absmax)), d = narrow(vmulq_n_f32(vld1q_f32(codebook + 12), absmax));
  const uint8x16_t first = vreinterpretq_u8_u16(vcombine_u16(a, b)), second = vreinterpretq_u8_u16(vcombine_u16(c, d));
  return {vuzp1q_u8(first, second), vuzp2q_u8(first, second)};
}
inline void decode_nibbles(bf16* out, const WordTable& table, const uint8_t* p) {
  const uint8x16_t codes = spread_nibbles(p), low = vqtbl1q_u8(table.low, codes), high = vqtbl1q_u8(table.high, codes);
  vst1q_u8(reinterpret_cast<uint8_t*>(out), vzip1q_u8(low, high));
  vst1q_u8(reinterpret_cast<uint8_t*>(out + 8), vzip2q_u8(low, high));
}

/// Byte 4b + l holds nibbles 2b and 2b + 1 of lane l.
struct Codes {
  uint8x16_t v;
};
inline Codes load_codes(const uint8_t* p) {
  constexpr uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
  return {vqtbl1q_u8(vld1q_u8(p), vld1q_u8(order))};
}
inline Codes load_half_codes(const uint8_t* p) { return load_codes(p); }
inline CodeTable make_code_table(const float* codebook) {
  return planes_of(vld1q_f32(codebook), vld1q_f32(codebook + 4), vld1q_f32(codebook + 8), vld1q_f32(codebook + 12));
}
template <int j>
inline Vec look_up(const CodeTable& table, Codes codes) {
  return look_up_quarter<j / 2>(table, j % 2 == 0 ? vandq_u8(codes.v, vdupq_n_u8(15)) : vshrq_n_u8(codes.v, 4));
}
inline Vec halves(float low, float) { return broadcast(low); }  // 8·W codes lie in one block

inline Vec load_dwords(const void* p) { return {vreinterpretq_f32_u8(vld1q_u8(static_cast<const uint8_t*>(p)))}; }
inline void store_dwords(uint32_t* p, Vec x) { vst1q_u32(p, vreinterpretq_u32_f32(x.v)); }
inline void store_dwords(uint32_t* p, uint32x4_t x) { vst1q_u32(p, x); }
FEDLORA_INLINE void transpose(Vec (&r)[4]) {
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r[0].v, r[1].v)), b = vreinterpretq_f64_f32(vtrn2q_f32(r[0].v, r[1].v));
  const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(r[2].v, r[3].v)), d = vreinterpretq_f64_f32(vtrn2q_f32(r[2].v, r[3].v));
  r[0].v = vreinterpretq_f32_f64(vtrn1q_f64(a, c)), r[1].v = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
  r[2].v = vreinterpretq_f32_f64(vtrn2q_f64(a, c)), r[3].v = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}
struct Words {
  uint32x4_t v;
};
inline Words same(uint32_t x) { return {vdupq_n_u32(x)}; }
inline Words count_from(uint32_t first) {
  constexpr uint32_t lanes[4] = {0, 1, 2, 3};
  return {vaddq_u32(vdupq_n_u32(first), vld1q_u32(lanes))};
}
inline void multiply_wide(Words x, uint32_t m, Words& low, Words& high) {
  const uint32x4_t first = vreinterpretq_u32_u64(vmull_n_u32(vget_low_u32(x.v), m));
  const uint32x4_t second = vreinterpretq_u32_u64(vmull_high_n_u32(x.v, m));
  low = {vuzp1q_u32(first, second)}, high = {vuzp2q_u32(first, second)};
}
inline Words exclusive_or(Words a, Words b, Words c) { return {veorq_u32(veorq_u32(a.v, b.v), c.v)}; }
inline void store(uint32_t* p, Words x) { vst1q_u32(p, x.v); }

// Of 32 registers: sums, a panel's vectors, one broadcast. Chosen by counting; no machine has timed them.
constexpr int max_vecs = 4;
constexpr int tile_rows[max_vecs + 1] = {0, 8, 8, 8, 6};
constexpr int outer_ranks = 4, outer_vecs = 4;

#include "backend/cpu/kernels/simd_operand_common.h"
