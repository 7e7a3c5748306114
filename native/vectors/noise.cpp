#include "vectors/noise.h"

#include <cmath>

#include "base/error.h"
#include "vectors/kernels.h"
#include "vectors/ranges.h"

namespace fedlora {

namespace {
constexpr int64_t group = 64;  // elements that a kernel makes at a time, of sixteen blocks of the key stream

/// Elements [begin, end) of the noise onto `values`.
void add_tile(float* values, int64_t begin, int64_t end, const Noise& noise, const VectorKernels& kernels) {
  alignas(64) double sums[vector_tile + group] = {};
  const int64_t from = begin / group * group, groups = (end - from + group - 1) / group;
  if (noise.deviation > 0) kernels.add_noise(sums, noise.key, static_cast<uint32_t>(from / group * 16), groups, noise.deviation);
  for (int64_t i = 0; i < end - begin; ++i)
    values[i] = static_cast<float>((static_cast<double>(values[i]) + sums[begin - from + i]) / noise.divisor);
}
}  // namespace

void add_noise(std::span<float> values, const Noise& noise, int64_t first, ThreadPool* pool) {
  for (double number : {noise.deviation, noise.divisor})
    if (!std::isfinite(number)) fail(Code::E_NONFINITE, "noise: the deviation or the divisor is %g", number);
  if (!(noise.deviation >= 0)) fail(Code::E_ARGUMENT, "noise: a deviation of %g, expected a number from 0 on", noise.deviation);
  if (noise.divisor == 0) fail(Code::E_ARGUMENT, "noise: a divisor of 0");
  const int64_t count = static_cast<int64_t>(values.size());
  if (first < 0 || first > most_noise - count)
    fail(Code::E_ARGUMENT, "noise: %lld elements from %lld on, but a key has %lld", static_cast<long long>(count),
         static_cast<long long>(first), static_cast<long long>(most_noise));
  const VectorKernels& kernels = vector_kernels();
  const Range all{0, count};
  for_each_tile(
      {&all, 1}, pool, [&](Range tile) { add_tile(values.data() + tile.begin, first + tile.begin, first + tile.end, noise, kernels); }, 4);
}

}  // namespace fedlora
