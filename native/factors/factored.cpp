// B = Q_B R_B and Aᵀ = Q_A R_A of the factors side by side, so M = Q_B (R_B R_Aᵀ) Q_Aᵀ: everything about M stands in the small core
// R_B R_Aᵀ. Where the ranks together exceed the shorter side of M, M itself is smaller than its factors and is formed.
#include "factors/factored.h"

#include <algorithm>
#include <cmath>

namespace fedlora::factors {

namespace {
/// The power of two that brings the largest magnitude into [1, 2), 1 for zeros.
double unit_of(double largest) { return largest > 0 ? std::ldexp(1, std::ilogb(largest)) : 1; }

double largest(const Values& values, int64_t count) {
  double most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::fabs(values[i]));
  return most;
}

/// The factors side by side in units of powers of two, so that squares neither overflow nor vanish; scales are in `b`.
struct Stacks {
  Matrix b;  // columns of all B as rows [R, out]
  Matrix a;  // rows of all A [R, in]
  double unit = 1;
};

Stacks stack(const FactoredSum& sum, ThreadPool* pool) {
  double most_b = 0, most_a = 0;
  for (const Term& term : sum.terms) {
    if (term.scale == 0) continue;
    double weight = 0;
    for (int64_t r = 0; r < term.rank; ++r) weight = std::max(weight, std::fabs(term.weight(r)));
    most_b = std::max(most_b, weight * largest(term.b, sum.out * term.rank));
    most_a = std::max(most_a, largest(term.a, term.rank * sum.in));
  }
  const double unit_b = unit_of(most_b), unit_a = unit_of(most_a);
  Stacks stacks{Matrix(sum.rank(), sum.out), Matrix(sum.rank(), sum.in), unit_b * unit_a};
  std::vector<int64_t> firsts;
  for (int64_t first = 0; const Term& term : sum.terms) {
    firsts.push_back(first);
    if (term.scale != 0) first += term.rank;
  }
  run_tasks(pool, static_cast<int64_t>(sum.terms.size()), [&](int64_t index, int) {
    const Term& term = sum.terms[static_cast<size_t>(index)];
    if (term.scale == 0) return;
    const int64_t first = firsts[static_cast<size_t>(index)];
    for (int64_t i = 0; i < sum.out; ++i)
      for (int64_t r = 0; r < term.rank; ++r) stacks.b(first + r, i) = term.b[i * term.rank + r] * (term.weight(r) / unit_b);
    for (int64_t i = 0; i < term.rank * sum.in; ++i) stacks.a.row(first)[i] = term.a[i] / unit_a;
  });
  return stacks;
}

/// M in units of the stacks.
Matrix dense(const Stacks& stacks, ThreadPool* pool) { return product(stacks.b.view().transposed(), stacks.a.view(), pool); }

bool smaller_dense(const FactoredSum& sum) { return sum.rank() > std::min(sum.out, sum.in); }

/// M = unit · Q_left · core · Q_rightᵀ; a side without a QR is the identity.
struct Core {
  Matrix core;
  std::optional<TallQr> left, right;
  double unit;
};

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
    core.right.emplace(dense(stacks, pool), pool);
    core.core = Matrix(sum.out, sum.out);
    const Matrix r = core.right->r();
    for (int64_t i = 0; i < sum.out; ++i)
      for (int64_t j = 0; j <= i; ++j) core.core(i, j) = r(j, i);
  }
  return core;
}

double norm(const Matrix& x) { return std::sqrt(factor_kernels().dot(x.row(0), x.row(0), x.rows() * x.cols())); }

/// The first `count` rows of x, on which `side` acts.
Matrix expand(const std::optional<TallQr>& side, const Matrix& x, int64_t count, ThreadPool* pool) {
  const ConstView rows = x.view().block(0, 0, count, x.cols());
  if (side) return side->expand(rows, pool);
  Matrix same(count, x.cols());
  std::copy(x.row(0), x.row(0) + count * x.cols(), same.row(0));
  return same;
}
}  // namespace

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
  Matrix m = dense(stacks, pool);
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
  return norm(dense(stacks, pool)) * stacks.unit;
}

Leading leading(const FactoredSum& sum, int64_t rank, ThreadPool* pool) {
  Leading result{Matrix(rank, sum.out), Matrix(rank, sum.in), std::vector<double>(static_cast<size_t>(std::min(sum.out, sum.in)))};
  if (sum.rank() == 0) return result;
  const Core core = reduce(sum, pool);
  const Svd svd = jacobi_svd(core.core.view());
  for (size_t i = 0; i < svd.values.size(); ++i) result.values[i] = svd.values[i] * core.unit;
  const int64_t count = std::min(rank, static_cast<int64_t>(svd.values.size()));
  const Matrix left = expand(core.left, svd.left, count, pool), right = expand(core.right, svd.right, count, pool);
  std::copy(left.row(0), left.row(0) + count * sum.out, result.left.row(0));
  std::copy(right.row(0), right.row(0) + count * sum.in, result.right.row(0));
  return result;
}

}  // namespace fedlora::factors
