/// Tensors of numbers in double, and how far one is from another.
#pragma once
#include <cmath>
#include <vector>

#include "book_check.h"

namespace check {

using Tensor = std::vector<double>;

/// The largest |x|.
inline double largest(const Tensor& x) {
  double most = 0;
  for (double value : x) most = std::fmax(most, std::fabs(value));
  return most;
}

/// Largest |got − want| over the largest |want| (at least `least`); NaN stays NaN.
inline double scaled_error(const Tensor& got, const Tensor& want, double least = 1e-30) {
  double worst = got.size() == want.size() ? 0 : NAN;
  for (size_t i = 0; i < want.size() && !std::isnan(worst); ++i) worst = book::worse(worst, std::fabs(got[i] - want[i]));
  return worst / std::fmax(least, largest(want));
}

/// Half a unit in the last of bf16's 8 places, relative: what one rounding costs at most.
inline constexpr double bf16_unit = 0x1p-8;

}  // namespace check
