#include "vectors/combine.h"

#include <cmath>

#include "base/error.h"
#include "vectors/kernels.h"

namespace fedlora {

namespace {
template <class T>
void check(const Combination<T>& sum, std::span<const Range> ranges, std::span<T> out) {
  if (sum.vectors.empty()) fail(Code::E_ARGUMENT, "linear combination of no vectors");
  if (sum.coefficients.size() != sum.vectors.size())
    fail(Code::E_ARGUMENT, "linear combination: %zu coefficients for %zu vectors", sum.coefficients.size(), sum.vectors.size());
  for (const std::span<const T> vector : sum.vectors) {
    if (vector.size() != out.size())
      fail(Code::E_SHAPE, "linear combination: a vector has %zu values, expected %zu", vector.size(), out.size());
    const T *begin = vector.data(), *other = out.data();
    if (begin != other && begin < other + out.size() && other < begin + vector.size())
      fail(Code::E_ARGUMENT, "linear combination: the result overlaps a vector without being the same; give it memory of its own");
  }
  check_ranges(ranges, static_cast<int64_t>(out.size()));
}

void combine_tile(const Combination<float>& sum, Range tile, float* out) {
  const VectorKernels& kernels = vector_kernels();
  alignas(64) double sums[vector_tile];
  const int64_t count = tile.end - tile.begin;
  for (size_t k = 0; k < sum.vectors.size(); ++k)
    (k == 0 ? kernels.scale : kernels.add_scaled)(sums, sum.vectors[k].data() + tile.begin, count, sum.coefficients[k]);
  if (sum.divisor != 1)
    for (int64_t i = 0; i < count; ++i) sums[i] /= sum.divisor;
  kernels.round(sums, count, out + tile.begin);
}

/// high + low, |low| ≤ half an ulp of high.
struct Twofold {
  double high, low;
};

Twofold product(double a, double b) {
  const double high = a * b;
  return {high, std::fma(a, b, -high)};
}

Twofold plus(Twofold a, Twofold b) {
  const double high = a.high + b.high, part = high - a.high;
  const double low = ((a.high - (high - part)) + (b.high - part)) + (a.low + b.low);
  const double sum = high + low;
  return {sum, low - (sum - high)};
}

double quotient(Twofold a, double divisor) {
  const double first = a.high / divisor;
  return first + (std::fma(-first, divisor, a.high) + a.low) / divisor;
}

void combine_tile(const Combination<double>& sum, Range tile, double* out) {
  for (int64_t i = tile.begin; i < tile.end; ++i) {
    Twofold total = product(sum.coefficients[0], sum.vectors[0][static_cast<size_t>(i)]);
    for (size_t k = 1; k < sum.vectors.size(); ++k)
      total = plus(total, product(sum.coefficients[k], sum.vectors[k][static_cast<size_t>(i)]));
    out[i] = quotient(total, sum.divisor);
  }
}
}  // namespace

template <class T>
void linear_combination(const Combination<T>& sum, std::span<const Range> ranges, std::span<T> out, ThreadPool* pool) {
  check(sum, ranges, out);
  for_each_tile(ranges, pool, [&](Range tile) { combine_tile(sum, tile, out.data()); });
}

template void linear_combination(const Combination<float>&, std::span<const Range>, std::span<float>, ThreadPool*);
template void linear_combination(const Combination<double>&, std::span<const Range>, std::span<double>, ThreadPool*);

}  // namespace fedlora
