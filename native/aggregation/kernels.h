/// The inner loops of the exact sum, one table an instruction set. Every step is exact (tile_sum.h), so all tables give the same bits.
/// Kernels allocate nothing, throw nothing, check nothing.
#pragma once
#include <cstdint>

#include "base/cpu_features.h"
#include "compression/kernels.h"

namespace fedlora {

/// Bits of a contribution that the low word of a pair takes; the rest goes to the high word.
inline constexpr int pair_split = 45;

/// Messages that a kernel adds in one pass over the sums.
inline constexpr int most_together = 8;

/// A whole tile of an f32 or bf16 message: its bytes, bytes that will be wanted soon (as many), weight in units of the sum, and where
/// the CRC32C of its segments go.
struct FloatTile {
  const uint8_t* bytes;
  const uint8_t* soon;
  double factor;
  uint32_t* checksums;
};

/// A whole tile of an int8 message: its codes, codes that will be wanted soon, and the weight of a step in each of its blocks.
struct CodeTile {
  const int8_t* codes;
  const int8_t* soon;
  const int64_t* factors;
};

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

  // In one pass over the sums what several messages bring; null where the processor lacks what it takes.

  /// low[i] += Σ values · factor over `count` ≤ most_together messages, whatever the values are: the same call with the opposite
  /// factors takes it all back. Takes their checksums, and returns the range of the values of all of them. The sum is right when every
  /// product is an integer below 2^62; for bf16 also: when the sum of their magnitudes is below 2^53 times a unit of all of them.
  MagnitudeBits (*add_checked_f32)(int64_t* low, const FloatTile* tiles, int count);
  MagnitudeBits (*add_checked_bf16)(int64_t* low, const FloatTile* tiles, int count);
  /// low[i] += (Σ codes · factors) · 2^shift. Factors are below 2^44.
  void (*add_codes_together)(int64_t* low, const CodeTile* tiles, int count, int shift);
};

const SumKernels& sum_kernels(Isa isa);

/// The table of select_isa(), chosen at the first call.
const SumKernels& sum_kernels();

}  // namespace fedlora
