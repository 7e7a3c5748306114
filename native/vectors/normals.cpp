#include "vectors/normals.h"

#include <cmath>

#include "base/error.h"
#include "vectors/kernels.h"

namespace fedlora {

namespace {
constexpr int64_t group = 64;  // elements that a kernel makes at a time: sixteen blocks of four

/// Where the kernel leaves element i of a tile.
int64_t place(int64_t i) { return i / group * group + 16 * (i & 3) + ((i >> 2) & 15); }

void add_tile(std::span<float> values, const Directions& directions, Range tile, const VectorKernels& kernels) {
  alignas(64) double sums[vector_tile] = {};
  const int64_t first = tile.begin / group * group, groups = (tile.end - first + group - 1) / group;
  for (size_t j = 0; j < directions.seeds.size(); ++j)
    kernels.add_normals(sums, directions.seeds[j], directions.stream, static_cast<uint64_t>(first / 4), groups, directions.scales[j]);
  for (int64_t i = tile.begin; i < tile.end; ++i) {
    float& value = values[static_cast<size_t>(i)];
    value = static_cast<float>(static_cast<double>(value) + sums[place(i - first)]);
  }
}
}  // namespace

void add_normals(std::span<float> values, const Directions& directions, std::span<const Range> ranges, ThreadPool* pool) {
  if (directions.seeds.size() != directions.scales.size())
    fail(Code::E_ARGUMENT, "directions: %zu scales for %zu seeds", directions.scales.size(), directions.seeds.size());
  for (double scale : directions.scales)
    if (!std::isfinite(scale)) fail(Code::E_NONFINITE, "directions: a scale is %g", scale);
  check_ranges(ranges, static_cast<int64_t>(values.size()));
  const VectorKernels& kernels = vector_kernels();
  for_each_tile(ranges, pool, [&](Range tile) { add_tile(values, directions, tile, kernels); }, 1);
}

}  // namespace fedlora
