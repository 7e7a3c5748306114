// Addition with carry over seven limbs, and the one rounding at the end.
#include "aggregation/wide_sum.h"

#include <bit>
#include <cmath>

namespace fedlora {

void WideSum::add(const WideSum& other) {
  uint64_t carry = 0;
  for (size_t i = 0; i < limbs.size(); ++i) {
    const unsigned __int128 sum = static_cast<unsigned __int128>(limbs[i]) + other.limbs[i] + carry;
    limbs[i] = static_cast<uint64_t>(sum);
    carry = static_cast<uint64_t>(sum >> 64);
  }
}

void WideSum::add(__int128 integer, int exponent) {
  if (exponent < wide_unit) {  // exact: the caller promises a multiple of the unit
    integer >>= wide_unit - exponent;
    exponent = wide_unit;
  }
  const size_t shift = static_cast<size_t>(exponent - wide_unit), limb = shift / 64, bits = shift % 64;
  const uint64_t fill = integer < 0 ? ~uint64_t{0} : 0;
  const uint64_t low = static_cast<uint64_t>(integer), high = static_cast<uint64_t>(integer >> 64);
  const auto joined = [bits](uint64_t upper, uint64_t lower) { return bits ? upper << bits | lower >> (64 - bits) : upper; };
  WideSum term;
  for (size_t i = limb; i < limbs.size(); ++i) {
    const size_t part = i - limb;
    term.limbs[i] = part == 0 ? low << bits : part == 1 ? joined(high, low) : part == 2 ? joined(fill, high) : fill;
  }
  add(term);
}

void WideSum::add(double value) {
  if (value == 0) return;
  int exponent;
  const double fraction = std::frexp(value, &exponent);
  add(static_cast<__int128>(std::ldexp(fraction, 53)), exponent - 53);
}

double WideSum::value() const {
  std::array<uint64_t, 7> magnitude = limbs;
  const bool negative = limbs.back() >> 63;
  if (negative) {
    bool carry = true;
    for (uint64_t& limb : magnitude) {
      limb = ~limb + (carry ? 1 : 0);
      carry = carry && limb == 0;
    }
  }
  size_t top = magnitude.size();
  while (top > 0 && magnitude[top - 1] == 0) --top;
  if (top == 0) return 0.0;
  // The leading 64 bits, the lowest of them set when anything lies below: enough to round once and rightly.
  const int zeros = std::countl_zero(magnitude[top - 1]);
  uint64_t leading = magnitude[top - 1] << zeros;
  bool below = false;
  if (top > 1) {
    if (zeros) leading |= magnitude[top - 2] >> (64 - zeros);
    below = (magnitude[top - 2] << zeros) != 0;
    for (size_t i = 0; i + 2 < top; ++i) below = below || magnitude[i] != 0;
  }
  const double rounded = std::ldexp(static_cast<double>(leading | (below ? 1 : 0)), wide_unit + 64 * static_cast<int>(top - 1) - zeros);
  return negative ? -rounded : rounded;
}

}  // namespace fedlora
