/// The vector abstraction on NEON with BF16: 4 floats, bf16 operands multiplied in pairs. Included inside namespace fedlora::neonbf16,
/// within its target region. The names are explained in simd_scalar.h.

struct Vec {
  float32x4_t v;
};
struct Mask {
  uint32x4_t v;
};
constexpr int W = 4;
using DotElement = bf16;

/// BFCVTN: nearest even, also below 2⁻¹²⁶; NaN becomes quiet.
inline uint16x4_t narrow(float32x4_t x) { return vreinterpret_u16_bf16(vcvt_bf16_f32(x)); }

#include "backend/cpu/kernels/simd_neon_common.h"

/// BFDOT: the sum of both products is added to an f32 sum. It takes numbers below 2⁻¹²⁶ for zero and rounds either addition to odd (Arm
/// ARM, BFDotAdd): to within a unit in the last place, not half of one.
inline float32x4_t add_dots(float32x4_t sum, uint32x4_t left, uint32x4_t right) {
  return vbfdotq_f32(sum, vreinterpretq_bf16_u32(left), vreinterpretq_bf16_u32(right));
}
inline Vec dot_pairs(Vec acc, uint32_t a, const uint32_t* b) { return {add_dots(acc.v, vdupq_n_u32(a), vld1q_u32(b))}; }

inline uint32x4_t interleave(uint16x4_t row0, uint16x4_t row1) {
  return vreinterpretq_u32_u16(vcombine_u16(vzip1_u16(row0, row1), vzip2_u16(row0, row1)));
}
inline void store_interleaved(uint32_t* p, Vec first, Vec second) { vst1q_u32(p, interleave(narrow(first.v), narrow(second.v))); }

struct Bf16Operand {
  using Element = bf16;
  using Left = bf16;
  using Value = uint32x4_t;
  static constexpr int per_step = 2;
  static Value left(const bf16* p) {
    uint32_t pair;
    __builtin_memcpy(&pair, p, 4);
    return vdupq_n_u32(pair);
  }
  /// An odd last element, paired with zero.
  static Value left_single(const bf16* p) { return vdupq_n_u32(p->bits); }
  static Value right(const uint32_t* p) { return vld1q_u32(p); }
  static Value right_rows(const bf16* row0, const bf16* row1) {
    return interleave(load_words(row0), row1 ? load_words(row1) : vdup_n_u16(0));
  }
  static Value right_rows_tail(const bf16* row0, const bf16* row1, int64_t n) {
    return interleave(load_words_tail(row0, n), row1 ? load_words_tail(row1, n) : vdup_n_u16(0));
  }
  static Vec multiply_add(Value left, Value right, Vec sum) { return {add_dots(sum.v, left, right)}; }
};
