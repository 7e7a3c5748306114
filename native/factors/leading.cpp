// The leading triplets of M: of large cores by squares, where that is certified; otherwise by the core's whole decomposition by Jacobi.
#include <algorithm>
#include <cmath>

#include "factors/core.h"
#include "factors/quick.h"

namespace fedlora::factors {

namespace {
constexpr int64_t least_quick = 96;  // smaller cores are done before the quick way has begun

Leading complete(const FactoredSum& sum, int64_t rank, ThreadPool* pool) {
  Leading result{Matrix(rank, sum.out), Matrix(rank, sum.in), std::vector<double>(static_cast<size_t>(rank)), 0, 0};
  if (sum.rank() == 0) return result;
  const Core core = reduce(sum, pool);
  const Svd svd = jacobi_svd(core.core.view());
  const int64_t count = std::min(rank, static_cast<int64_t>(svd.values.size()));
  double rest = 0, square = 0;
  for (int64_t i = static_cast<int64_t>(svd.values.size()) - 1; i >= 0; --i) {
    const double value = svd.values[static_cast<size_t>(i)];
    if (i < count) result.values[static_cast<size_t>(i)] = value * core.unit;
    square += value * value;
    if (i == count) rest = square;
  }
  result.norm = std::sqrt(square) * core.unit, result.rest = std::sqrt(rest) * core.unit;
  const Matrix left = expand(core.left, svd.left, count, pool), right = expand(core.right, svd.right, count, pool);
  std::copy(left.row(0), left.row(0) + count * sum.out, result.left.row(0));
  std::copy(right.row(0), right.row(0) + count * sum.in, result.right.row(0));
  return result;
}
}  // namespace

Leading leading(const FactoredSum& sum, int64_t rank, ThreadPool* pool) {
  const int64_t core = std::min({sum.rank(), sum.out, sum.in});
  if (core >= least_quick && rank <= core / 4)
    if (std::optional<Leading> found = quick(sum, rank, pool)) return std::move(*found);
  return complete(sum, rank, pool);
}

}  // namespace fedlora::factors
