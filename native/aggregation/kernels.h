/// The inner loops of the exact sum, one table an instruction set. Every step is exact (tile_sum.h), so all tables give the same bits.
/// Kernels allocate nothing, throw nothing, check nothing.
#pragma once
#include <cstdint>

#include "base/cpu_features.h"

namespace fedlora {

/// Bits of a contribution that the low word of a pair takes; the rest goes to the high word.
inline constexpr int pair_split = 45;

struct SumKernels {
  Isa isa;
  /// low[i] += values[i] · factor, an integer below 2^62 in magnitude.
  void (*add_single)(int64_t* low, const float* values, int64_t count, double factor);
  /// low[i] += codes[i] · factors[i / 128].
  void (*add_codes)(int64_t* low, const int8_t* codes, const int64_t* factors, int64_t count);
  /// (high[i] · 2^45 + low[i]) += values[i] · factor, an integer below 2^96 in magnitude.
  void (*add_pair)(int64_t* low, int64_t* high, const float* values, int64_t count, double factor);
  /// means[i] = low[i] · unit / total_weight: the sum rounded to double, then the quotient to double, then to float.
  void (*mean_single)(const int64_t* low, int64_t count, double unit, double total_weight, float* means);
};

const SumKernels& sum_kernels(Isa isa);

/// The table of select_isa(), chosen at the first call.
const SumKernels& sum_kernels();

}  // namespace fedlora
