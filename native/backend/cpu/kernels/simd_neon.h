/// The vector abstraction on NEON: 4 floats; bf16 operands are widened. Included inside namespace fedlora::neon.
/// The names are explained in simd_scalar.h.

struct Vec {
  float32x4_t v;
};
struct Mask {
  uint32x4_t v;
};
constexpr int W = 4;
using DotElement = float;

/// Nearest even by integer addition; NaN keeps its sign and becomes quiet.
inline uint16x4_t narrow(float32x4_t x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return vshrn_n_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), 16);
}

#include "backend/cpu/kernels/simd_neon_common.h"

struct Bf16Operand : F32Operand {
  using Element = bf16;
  static Value right_rows(const bf16* row, const bf16*) { return load(row); }
  static Value right_rows_tail(const bf16* row, const bf16*, int64_t n) { return load_tail(row, n); }
};
