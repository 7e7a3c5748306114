/// The inner loops of the dense algebra in double precision, one table an instruction set: written once in kernels.inl. The order of
/// every sum depends on lengths alone; two instruction sets may differ in the last bits. Kernels allocate, throw and check nothing.
#pragma once
#include <cstdint>

#include "base/cpu_features.h"

namespace fedlora::factors {

struct FactorKernels {
  Isa isa;
  int tile_rows, tile_cols;
  /// c[i][j] += factor · Σ_p a[p][i] · b[p][j] over a whole tile: a [depth, tile_rows] and b [depth, tile_cols] are packed,
  /// the rows of c are `stride` apart.
  void (*tile)(int64_t depth, const double* a, const double* b, double factor, double* c, int64_t stride);
  /// Σ x[i] · y[i].
  double (*dot)(const double* x, const double* y, int64_t count);
  /// y[i] += factor · x[i].
  void (*add_scaled)(double* y, const double* x, int64_t count, double factor);
  /// (x[i], y[i]) ← (c · x[i] − s · y[i], s · x[i] + c · y[i]).
  void (*rotate)(double* x, double* y, int64_t count, double c, double s);
};

/// The most elements of a tile of any table.
inline constexpr int most_tile = 8 * 24;

const FactorKernels& factor_kernels(Isa isa);

/// The table of select_isa(), chosen at the first call.
const FactorKernels& factor_kernels();

extern const FactorKernels factor_kernels_avx2, factor_kernels_avx512, factor_kernels_neon;

}  // namespace fedlora::factors
