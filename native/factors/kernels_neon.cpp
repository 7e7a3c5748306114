// The kernels over 128-bit vectors with fused multiply-add, which every arm64 processor has.
#include "factors/kernels.h"
#if defined(__aarch64__)
#include <arm_neon.h>

namespace fedlora::factors {

namespace neon {
namespace {
using Vector = float64x2_t;
constexpr int lanes = 2, tile_rows = 6, tile_vectors = 4;  // 24 sums, 4 of b and one of a in 32 registers; no machine has timed it
inline Vector load(const double* p) { return vld1q_f64(p); }
inline void store(double* p, Vector v) { vst1q_f64(p, v); }
inline Vector broadcast(double x) { return vdupq_n_f64(x); }
inline Vector multiply(Vector a, Vector b) { return vmulq_f64(a, b); }
inline Vector add(Vector a, Vector b) { return vaddq_f64(a, b); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f64(c, a, b); }
#include "factors/kernels.inl"
}  // namespace
}  // namespace neon

extern const FactorKernels factor_kernels_neon;
const FactorKernels factor_kernels_neon{Isa::neon,        neon::tile_rows, neon::tile_vectors * neon::lanes, neon::tile, neon::dot,
                                        neon::add_scaled, neon::rotate};

}  // namespace fedlora::factors
#endif
