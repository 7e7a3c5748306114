/// An exact sum for any data: a fixed-point number of 448 bits in units of 2^-200, two's complement.
/// Products of float32 values and weights are multiples of 2^-197 and below 2^168; 2^79 of them cannot overflow.
#pragma once
#include <array>
#include <cstdint>

namespace fedlora {

inline constexpr int wide_unit = -200;

struct WideSum {
  std::array<uint64_t, 7> limbs{};

  /// Adds integer · 2^exponent, a multiple of 2^wide_unit.
  void add(__int128 integer, int exponent);
  /// Adds a double that is a multiple of 2^wide_unit.
  void add(double value);
  void add(const WideSum& other);
  /// Rounded to nearest, ties to even.
  double value() const;
};

}  // namespace fedlora
