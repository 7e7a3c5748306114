// Blocks of 4096 elements; inside a block 8 running sums, which the compiler may keep in vector registers without reordering anything.
#include "compression/vector_math.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

double dot(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) fail(Code::E_SHAPE, "dot of vectors with %zu and %zu elements, expected equal lengths", a.size(), b.size());
  constexpr size_t block = 4096, lanes = 8;
  double total = 0;
  for (size_t first = 0; first < a.size(); first += block) {
    const size_t end = std::min(first + block, a.size());
    double sums[lanes] = {};
    size_t i = first;
    for (; i + lanes <= end; i += lanes)
      for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    for (size_t lane = 0; i < end; ++i, ++lane) sums[lane] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    total += ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  }
  return total;
}

double norm(std::span<const float> a) { return std::sqrt(dot(a, a)); }

double cosine(std::span<const float> a, std::span<const float> b) {
  const double product = dot(a, b), lengths = norm(a) * norm(b);
  return lengths > 0 ? product / lengths : 0.0;
}

}  // namespace fedlora
