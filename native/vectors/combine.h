/// out = Σ_k c_k · v_k / divisor, element by element, the terms added in the order given.
///
/// float32: products and sums in double, rounded once; the differences and steps of a federation are such sums. float64: products and sums
/// keep twice the bits of a double (Dekker 1971, Knuth's TwoSum), so the rounding that shows is the last one.
#pragma once
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "vectors/ranges.h"

namespace fedlora {

template <class T>
struct Combination {
  std::span<const double> coefficients;
  std::span<const std::span<const T>> vectors;
  /// Not 0.
  double divisor = 1;
};

/// Elements of `ranges` of `out`, which has the vectors' length and may be one of them; all others stay.
/// Throws E_ARGUMENT (no vector; not a coefficient a vector; ranges; out overlaps a vector without being it), E_SHAPE.
template <class T>
void linear_combination(const Combination<T>& sum, std::span<const Range> ranges, std::span<T> out, ThreadPool* pool = nullptr);

}  // namespace fedlora
