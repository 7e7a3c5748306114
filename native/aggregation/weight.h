/// Weights of updates, kept exactly.
///
/// A weight is a number from 2^-20 to 2^40, rounded to 29 significant bits (to nearest, ties to even): every whole number up to
/// 536,870,912 rows is kept as it is, any other weight to within 1.9e-9 of itself. A float32 value times such a weight has at most
/// 53 bits and is exact in double; the sum of weights is kept in units of 2^-48 in 128 bits and is exact for 2^39 updates.
#pragma once
#include <cstdint>

namespace fedlora {

inline constexpr int weight_bits = 29;
inline constexpr double weight_smallest = 0x1p-20, weight_largest = 0x1p40;

/// The weight on its grid. Throws E_ARGUMENT when it is not a number within the limits.
double grid_weight(double weight);

/// Largest e such that the weight is a multiple of 2^e.
int weight_lowest_bit(double weight);

class WeightSum {
 public:
  /// `weight` comes from grid_weight.
  void add(double weight);
  void add(const WeightSum& other) { units_ += other.units_; }
  /// The exact sum rounded to double.
  double value() const;
  /// The sum in units of 2^-48, and one made of it.
  __int128 units() const { return units_; }
  static WeightSum of(__int128 units) {
    WeightSum sum;
    sum.units_ = units;
    return sum;
  }

 private:
  __int128 units_ = 0;
};

}  // namespace fedlora
