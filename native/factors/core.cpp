// B = Q_B R_B and Aᵀ = Q_A R_A of the factors side by side, so M = Q_B (R_B R_Aᵀ) Q_Aᵀ: everything about M stands in the small core
// R_B R_Aᵀ. Where the ranks together exceed the shorter side of M, M itself is smaller than its factors and is formed.
#include "factors/core.h"

#include <algorithm>

namespace fedlora::factors {

Core reduce(const FactoredSum& sum, ThreadPool* pool) {
  Stacks stacks = stack(sum, pool);
  Core core{{}, {}, {}, stacks.unit};
  if (!smaller_dense(sum)) {
    core.left.emplace(std::move(stacks.b), pool);
    core.right.emplace(std::move(stacks.a), pool);
    core.core = product(core.left->r().view(), core.right->r().view().transposed(), pool);
  } else if (sum.out >= sum.in) {
    core.left.emplace(product(stacks.a.view().transposed(), stacks.b.view(), pool), pool);
    core.core = core.left->r();
  } else {
    core.right.emplace(product(stacks.b.view().transposed(), stacks.a.view(), pool), pool);
    core.core = Matrix(sum.out, sum.out);
    const Matrix r = core.right->r();
    for (int64_t i = 0; i < sum.out; ++i)
      for (int64_t j = 0; j <= i; ++j) core.core(i, j) = r(j, i);
  }
  return core;
}

Matrix expand(const std::optional<TallQr>& side, const Matrix& x, int64_t count, ThreadPool* pool) {
  const ConstView rows = x.view().block(0, 0, count, x.cols());
  if (side) return side->expand(rows, pool);
  Matrix same(count, x.cols());
  std::copy(x.row(0), x.row(0) + count * x.cols(), same.row(0));
  return same;
}

}  // namespace fedlora::factors
