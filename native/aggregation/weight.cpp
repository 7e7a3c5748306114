// Weights on their grid.
#include "aggregation/weight.h"

#include <bit>
#include <cmath>

#include "base/error.h"

namespace fedlora {

namespace {
constexpr int unit_exponent = 48;  // 2^-20 has its last place at 2^-48
}

double grid_weight(double weight) {
  if (!(weight >= weight_smallest && weight <= weight_largest))
    fail(Code::E_ARGUMENT, "the weight of an update is %g, expected a number from %g to %g, such as its number of rows", weight,
         weight_smallest, weight_largest);
  constexpr int dropped = 53 - weight_bits;
  const uint64_t bits = std::bit_cast<uint64_t>(weight);
  const uint64_t half = (uint64_t{1} << (dropped - 1)) - 1 + ((bits >> dropped) & 1);
  return std::bit_cast<double>((bits + half) >> dropped << dropped);
}

int weight_lowest_bit(double weight) {
  const uint64_t bits = std::bit_cast<uint64_t>(weight), mantissa = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
  return static_cast<int>(bits >> 52) - 1075 + std::countr_zero(mantissa);
}

void WeightSum::add(double weight) { units_ += static_cast<__int128>(std::ldexp(weight, unit_exponent)); }

double WeightSum::value() const { return std::ldexp(static_cast<double>(units_), -unit_exponent); }

}  // namespace fedlora
