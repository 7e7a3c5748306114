/// What the tests of ops share: reproducible random numbers, and gradients judged along a random direction in double.
#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/philox.h"

namespace book {

/// Standard normal numbers (Box & Muller), a pure function of seed and index.
class Random {
 public:
  explicit Random(uint64_t seed) : philox_{seed, 77} {}
  double normal() {
    const auto words = philox_(counter_++);
    const double u = (words[0] + 0.5) * 0x1p-32, v = words[1] * 0x1p-32;
    return std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
  uint32_t below(uint32_t limit) { return philox_(counter_++)[0] % limit; }
  template <class Real = double>
  std::vector<Real> normals(int64_t count, double scale = 1) {
    std::vector<Real> values(static_cast<size_t>(count));
    for (Real& value : values) value = static_cast<Real>(scale * normal());
    return values;
  }

 private:
  fedlora::Philox philox_;
  uint64_t counter_ = 0;
};

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// The larger of two errors; unlike fmax, NaN wins.
inline double worse(double a, double b) { return std::isnan(a) || b <= a ? a : b; }

/// Relative difference between gradient·direction and the central difference of `value` along a random direction from `at`.
inline double direction_error(const std::function<double(const std::vector<double>&)>& value, const std::vector<double>& at,
                              const std::vector<double>& gradient, uint64_t seed) {
  Random random(seed);
  const std::vector<double> direction = random.normals(static_cast<int64_t>(at.size()));
  const double step = 1e-5;
  std::vector<double> ahead = at, behind = at;
  for (size_t i = 0; i < at.size(); ++i) ahead[i] += step * direction[i], behind[i] -= step * direction[i];
  const double slope = (value(ahead) - value(behind)) / (2 * step), told = dot(gradient, direction);
  return std::fabs(slope - told) / worse(1e-3, std::fabs(slope));
}

}  // namespace book
