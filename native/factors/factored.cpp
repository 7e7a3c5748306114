#include "factors/factored.h"

#include <algorithm>
#include <cmath>

#include "factors/core.h"

namespace fedlora::factors {

int64_t FactoredSum::rank() const {
  int64_t total = 0;
  for (const Term& term : terms)
    if (term.scale != 0) total += term.rank;
  return total;
}

Beside beside(const FactoredSum& sum) {
  int64_t total = 0;
  for (const Term& term : sum.terms) total += term.rank;
  Beside both{Matrix(sum.out, total), Matrix(total, sum.in)};
  for (int64_t first = 0; const Term& term : sum.terms) {
    for (int64_t i = 0; i < sum.out; ++i)
      for (int64_t r = 0; r < term.rank; ++r) both.b(i, first + r) = term.b[i * term.rank + r];
    for (int64_t r = 0; r < term.rank; ++r)
      for (int64_t j = 0; j < sum.in; ++j) both.a(first + r, j) = term.weight(r) * term.a[r * sum.in + j];
    first += term.rank;
  }
  return both;
}

Matrix dense(const FactoredSum& sum, ThreadPool* pool) {
  const Stacks stacks = stack(sum, pool);
  Matrix m = product(stacks.b.view().transposed(), stacks.a.view(), pool);
  for (int64_t i = 0; i < sum.out * sum.in; ++i) m.row(0)[i] *= stacks.unit;
  return m;
}

double frobenius(const FactoredSum& sum, ThreadPool* pool) {
  if (sum.rank() == 0) return 0;
  if (!smaller_dense(sum)) {
    const Core core = reduce(sum, pool);
    return norm(core.core) * core.unit;
  }
  const Stacks stacks = stack(sum, pool);
  return norm(product(stacks.b.view().transposed(), stacks.a.view(), pool)) * stacks.unit;
}

std::vector<double> singular_values(const FactoredSum& sum, ThreadPool* pool) {
  std::vector<double> values(static_cast<size_t>(std::min(sum.out, sum.in)));
  if (sum.rank() == 0) return values;
  const Core core = reduce(sum, pool);
  const Svd svd = jacobi_svd(core.core.view());
  for (size_t i = 0; i < svd.values.size(); ++i) values[i] = svd.values[i] * core.unit;
  return values;
}

}  // namespace fedlora::factors
