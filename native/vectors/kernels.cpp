// One instance of every loop per instruction set, and the choice between them.
#include "vectors/kernels.h"

#include "base/inline.h"
#include "base/target.h"
#include "compression/philox_avx512.h"
#include "vectors/normals_body.h"
#include "vectors/server_step_body.h"

namespace fedlora {

namespace {
FEDLORA_INLINE void scale_body(double* __restrict sums, const float* __restrict values, int64_t count, double c) {
  for (int64_t i = 0; i < count; ++i) sums[i] = c * static_cast<double>(values[i]);
}

FEDLORA_INLINE void add_scaled_body(double* __restrict sums, const float* __restrict values, int64_t count, double c) {
  for (int64_t i = 0; i < count; ++i) sums[i] += c * static_cast<double>(values[i]);
}

FEDLORA_INLINE void round_body(const double* __restrict sums, int64_t count, float* __restrict out) {
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(sums[i]);
}
}  // namespace

#define FEDLORA_STEP(rule, attribute)                                                                       \
  attribute static void rule(float* x, const float* d, float* m, float* v, int64_t n, const StepSizes& s) { \
    step_body::step<ServerRule::rule>(x, d, m, v, n, s);                                                    \
  }

#define FEDLORA_VECTOR_TABLE(level, attribute, isa_level, draw64, lanes)                                                              \
  namespace vectors_##level {                                                                                                         \
    attribute static void scale(double* s, const float* v, int64_t n, double c) { scale_body(s, v, n, c); }                           \
    attribute static void add_scaled(double* s, const float* v, int64_t n, double c) { add_scaled_body(s, v, n, c); }                 \
    attribute static void round(const double* s, int64_t n, float* o) { round_body(s, n, o); }                                        \
    FEDLORA_STEP(momentum, attribute)                                                                                                 \
    FEDLORA_STEP(nesterov, attribute)                                                                                                 \
    FEDLORA_STEP(adam, attribute)                                                                                                     \
    FEDLORA_STEP(yogi, attribute)                                                                                                     \
    FEDLORA_STEP(adagrad, attribute)                                                                                                  \
    attribute static void normals(double* s, uint64_t key, uint64_t stream, uint64_t b, int64_t n, double c) {                        \
      normals_body::add_normals<draw64>(s, key, stream, b, n, c);                                                                     \
    }                                                                                                                                 \
    attribute static void noise(double* s, const ChaChaKey& key, uint32_t b, int64_t n, double c) {                                   \
      normals_body::add_noise<lanes>(s, key, b, n, c);                                                                                \
    }                                                                                                                                 \
    static const VectorKernels table{isa_level, scale, add_scaled, round, {momentum, nesterov, adam, yogi, adagrad}, normals, noise}; \
  }

FEDLORA_VECTOR_TABLE(scalar, , Isa::scalar, philox64, Four)
#if defined(__x86_64__)
FEDLORA_VECTOR_TABLE(avx2, FEDLORA_TARGET(FEDLORA_AVX2), Isa::avx2, philox64, Eight)
FEDLORA_VECTOR_TABLE(avx512, FEDLORA_TARGET(FEDLORA_AVX512), Isa::avx512bf16, philox64_avx512, Sixteen)
#endif

const VectorKernels& vector_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512bf16) return vectors_avx512::table;
  if (isa == Isa::avx2) return vectors_avx2::table;
#endif
  (void)isa;
  return vectors_scalar::table;
}

const VectorKernels& vector_kernels() {
  static const VectorKernels& chosen = vector_kernels(select_isa());
  return chosen;
}

}  // namespace fedlora
