// The kernels over 256-bit vectors with fused multiply-add.
#include "factors/kernels.h"
#if defined(__x86_64__)
#include <immintrin.h>

#include "base/target.h"

FEDLORA_TARGET_BEGIN(FEDLORA_AVX2)
namespace fedlora::factors {

namespace avx2 {
namespace {
using Vector = __m256d;
constexpr int lanes = 4, tile_rows = 4, tile_vectors = 3;
inline Vector load(const double* p) { return _mm256_loadu_pd(p); }
inline void store(double* p, Vector v) { _mm256_storeu_pd(p, v); }
inline Vector broadcast(double x) { return _mm256_set1_pd(x); }
inline Vector multiply(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
inline Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
#include "factors/kernels.inl"
}  // namespace
}  // namespace avx2

extern const FactorKernels factor_kernels_avx2;
const FactorKernels factor_kernels_avx2{Isa::avx2,        avx2::tile_rows, avx2::tile_vectors * avx2::lanes, avx2::tile, avx2::dot,
                                        avx2::add_scaled, avx2::rotate};

}  // namespace fedlora::factors
FEDLORA_TARGET_END
#endif
