// The kernels over 512-bit vectors.
#include "factors/kernels.h"
#if defined(__x86_64__)
#include <immintrin.h>

#include "base/target.h"

FEDLORA_TARGET_BEGIN(FEDLORA_AVX512)
namespace fedlora::factors {

namespace avx512 {
namespace {
using Vector = __m512d;
constexpr int lanes = 8, tile_rows = 8, tile_vectors = 3;
inline Vector load(const double* p) { return _mm512_loadu_pd(p); }
inline void store(double* p, Vector v) { _mm512_storeu_pd(p, v); }
inline Vector broadcast(double x) { return _mm512_set1_pd(x); }
inline Vector multiply(Vector a, Vector b) { return _mm512_mul_pd(a, b); }
inline Vector add(Vector a, Vector b) { return _mm512_add_pd(a, b); }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
#include "factors/kernels.inl"
}  // namespace
}  // namespace avx512

extern const FactorKernels factor_kernels_avx512;
const FactorKernels factor_kernels_avx512{Isa::avx512bf16, avx512::tile_rows, avx512::tile_vectors * avx512::lanes,
                                          avx512::tile,    avx512::dot,       avx512::add_scaled,
                                          avx512::rotate};

}  // namespace fedlora::factors
FEDLORA_TARGET_END
#endif
