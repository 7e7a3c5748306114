// The kernels at the ABI floor, and the choice among the tables.
#include "factors/kernels.h"

#include <cstring>

namespace fedlora::factors {

namespace {
using Vector = double __attribute__((vector_size(16)));
constexpr int lanes = 2, tile_rows = 4, tile_vectors = 2;
inline Vector load(const double* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(double* p, Vector v) { std::memcpy(p, &v, sizeof v); }
inline Vector broadcast(double x) { return Vector{x, x}; }
inline Vector multiply(Vector a, Vector b) { return a * b; }
inline Vector add(Vector a, Vector b) { return a + b; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return a * b + c; }
#include "factors/kernels.inl"

const FactorKernels scalar_table{Isa::scalar, tile_rows, tile_vectors * lanes, tile, dot, add_scaled, rotate};
}  // namespace

const FactorKernels& factor_kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512bf16) return factor_kernels_avx512;
  if (isa == Isa::avx2) return factor_kernels_avx2;
#elif defined(__aarch64__)
  if (isa != Isa::scalar) return factor_kernels_neon;
#endif
  (void)isa;
  return scalar_table;
}

const FactorKernels& factor_kernels() {
  static const FactorKernels& chosen = factor_kernels(select_isa());
  return chosen;
}

}  // namespace fedlora::factors
