/// Where a long vector stops being finite.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace fedlora {

/// The first place that holds NaN or an infinity; −1 when none does.
template <class T>
int64_t first_nonfinite(std::span<const T> vector) {
  constexpr size_t block = 1024;
  for (size_t begin = 0; begin < vector.size(); begin += block) {
    const std::span<const T> part = vector.subspan(begin, std::min(block, vector.size() - begin));
    T zeros = 0;  // x − x is 0 or NaN, and NaN stays
    for (const T x : part) zeros += x - x;
    if (zeros == 0) continue;
    for (size_t i = 0; i < part.size(); ++i)
      if (!std::isfinite(part[i])) return static_cast<int64_t>(begin + i);
  }
  return -1;
}

}  // namespace fedlora
