/// Random directions, never stored: element i of the normal vector z(seed) is a function of seed, stream and i alone.
///
///   block b = i / 4 of Philox under key = seed gives words w_0 … w_3;      u_j = (w_j + 1/2) / 2^32
///   z_{4b}, z_{4b+1} = √(−2 ln u_0) · (cos, sin)(2π·u_1)      z_{4b+2}, z_{4b+3} = the same of u_2, u_3
///
/// Source: Box and Muller 1958, "A note on the generation of random normal deviates"; Philox: base/philox.h. Computed in float32 to
/// 1e-6 (of |z| ≤ 6.8); the same bits on every instruction set, so that whoever has the seeds rebuilds what another one did.
#pragma once
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "vectors/ranges.h"

namespace fedlora {

struct Directions {
  std::span<const uint64_t> seeds;
  std::span<const double> scales;
  /// Philox's stream.
  uint64_t stream = 0;
};

/// values += Σ_j scales_j · z(seeds_j) over the ranges: the sum in double in the order given, then added and rounded once.
/// Throws E_ARGUMENT (not a scale a seed; ranges), E_NONFINITE (a scale).
void add_normals(std::span<float> values, const Directions& directions, std::span<const Range> ranges, ThreadPool* pool = nullptr);

}  // namespace fedlora
