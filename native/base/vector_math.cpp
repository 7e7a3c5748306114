// Blocks of 4096 elements; inside a block 8 running sums, which the compiler may keep in vector registers without reordering anything.
#include "base/vector_math.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace fedlora {

namespace {
constexpr size_t block = 4096, lanes = 8, task_blocks = 32;

double block_dot(const float* a, const float* b, size_t count) {
  double sums[lanes] = {};
  size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  for (size_t lane = 0; i < count; ++i, ++lane) sums[lane] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}
}  // namespace

double dot(std::span<const float> a, std::span<const float> b, ThreadPool* pool) {
  if (a.size() != b.size()) fail(Code::E_SHAPE, "dot of vectors with %zu and %zu elements, expected equal lengths", a.size(), b.size());
  const size_t blocks = (a.size() + block - 1) / block;
  std::vector<double> sums(blocks);
  run_tasks(pool, static_cast<int64_t>((blocks + task_blocks - 1) / task_blocks), [&](int64_t task, int) {
    const size_t first = static_cast<size_t>(task) * task_blocks;
    for (size_t i = first; i < std::min(first + task_blocks, blocks); ++i)
      sums[i] = block_dot(a.data() + i * block, b.data() + i * block, std::min(block, a.size() - i * block));
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

double norm(std::span<const float> a, ThreadPool* pool) { return std::sqrt(dot(a, a, pool)); }

double cosine(std::span<const float> a, std::span<const float> b, ThreadPool* pool) {
  const double product = dot(a, b, pool), lengths = norm(a, pool) * norm(b, pool);
  return lengths > 0 ? product / lengths : 0.0;
}

}  // namespace fedlora
