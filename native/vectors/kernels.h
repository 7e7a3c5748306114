/// The inner loops over long vectors, one table an instruction set. They are compiled from one source without contraction or reordered
/// sums, so every table gives the same bits. Kernels allocate nothing, throw nothing, check nothing.
#pragma once
#include <cstdint>

#include "base/chacha20.h"
#include "base/cpu_features.h"
#include "vectors/server_step.h"

namespace fedlora {

struct VectorKernels {
  Isa isa;
  /// sums = c · values, and sums += c · values.
  void (*scale)(double* sums, const float* values, int64_t count, double c);
  void (*add_scaled)(double* sums, const float* values, int64_t count, double c);
  /// out = sums, rounded to float32.
  void (*round)(const double* sums, int64_t count, float* out);
  /// One step of a rule over `count` elements (server_step.h); moments that the rule does not use are null.
  void (*step[server_rules])(float* x, const float* mean, float* moment1, float* moment2, int64_t count, const StepSizes& sizes);
  /// Groups of 64 normals, scaled, onto sums in the kernel's own order (normals_body.h).
  void (*add_normals)(double* sums, uint64_t key, uint64_t stream, uint64_t first_block, int64_t groups, double scale);
  /// The same of Gaussian noise from a key stream (noise.h); `first_block` of it is a multiple of 16.
  void (*add_noise)(double* sums, const ChaChaKey& key, uint32_t first_block, int64_t groups, double deviation);
};

const VectorKernels& vector_kernels(Isa isa);

/// The table of select_isa(), chosen at the first call.
const VectorKernels& vector_kernels();

}  // namespace fedlora
