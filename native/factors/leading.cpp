// The leading triplets of M by one of two ways.
//
// Complete: the core's whole decomposition by Jacobi.
//
// Quick, for large cores. With M = Lᵀ Rᵀ Qᵀ, L [n, long] the rows of the longer side and R [n, n], Q from the QR of the shorter one,
// H = R (L Lᵀ) Rᵀ has the squares of M's singular values. Squaring costs accuracy, so H's leading eigenvectors are only where a
// Rayleigh-Ritz step on M itself begins: U S Vᵀ of U_0ᵀ M, U_0 from the QR of M V_0, and again from M V until
// ‖M V − U S‖ ≤ 1e-12 ‖M‖₂, which bounds how far U, S, V are from exact triplets of a matrix at that distance. Otherwise: complete.
#include <algorithm>
#include <cmath>

#include "factors/core.h"
#include "factors/eigenvectors.h"

namespace fedlora::factors {

namespace {
constexpr int64_t least_quick = 96;  // smaller cores are done before the quick way has begun
constexpr double residual_bound = 1e-12;
constexpr int most_steps = 3;
/// Below this share of ‖M‖² what is left of a difference of squares is rounding: it is computed anew.
constexpr double least_share = 1e-6;

/// M = unit · longᵀ · rᵀ · Qᵀ, or its transpose; without a QR r is the identity.
struct Halves {
  Matrix rows;  // L [n, long]
  std::optional<TallQr> other;
  Matrix r;
  double unit;
  bool transposed;  // `rows` are along in
};

Halves halves(const FactoredSum& sum, ThreadPool* pool) {
  Stacks stacks = stack(sum, pool);
  const bool transposed = sum.in > sum.out;
  Matrix &rows = transposed ? stacks.a : stacks.b, &other = transposed ? stacks.b : stacks.a;
  Halves both{{}, {}, {}, stacks.unit, transposed};
  if (smaller_dense(sum)) {
    both.rows = product(other.view().transposed(), rows.view(), pool);
  } else {
    both.rows = std::move(rows);
    both.other.emplace(std::move(other), pool);
    both.r = both.other->r();
  }
  return both;
}

struct Ritz {
  Matrix u, v;  // rows [rank, long] and [rank, n]
  std::vector<double> values;
};

/// U S Vᵀ of U_0ᵀ M, U_0 an orthonormal basis of the rows of y [rank, long].
Ritz ritz(const Halves& m, Matrix y, ThreadPool* pool) {
  const int64_t rank = y.rows();
  Matrix one(rank, rank);
  for (int64_t i = 0; i < rank; ++i) one(i, i) = 1;
  const Matrix basis = TallQr(std::move(y), pool).expand(one.view(), pool);
  Matrix z = product(basis.view(), m.rows.view().transposed(), pool);
  if (m.other) z = product(z.view(), m.r.view().transposed(), pool);
  Svd svd = jacobi_svd(z.view().transposed());  // z = rightᵀ · values · left
  return {product(svd.right.view(), basis.view(), pool), std::move(svd.left), std::move(svd.values)};
}

/// M V for rows v [rank, n]: [rank, long].
Matrix applied(const Halves& m, const Matrix& v, ThreadPool* pool) {
  if (!m.other) return product(v.view(), m.rows.view(), pool);
  return product(product(v.view(), m.r.view(), pool).view(), m.rows.view(), pool);
}

/// ‖M V − U S‖
double residual(Matrix mv, const Ritz& found) {
  for (int64_t i = 0; i < mv.rows(); ++i)
    factor_kernels().add_scaled(mv.row(i), found.u.row(i), mv.cols(), -found.values[static_cast<size_t>(i)]);
  return norm(mv);
}

/// ‖M − U S Vᵀ‖, without the cancellation of squares.
double rest_of(const FactoredSum& sum, const Leading& found, ThreadPool* pool) {
  FactoredSum difference = sum;
  const int64_t rank = found.left.rows();
  Matrix b(sum.out, rank);
  for (int64_t r = 0; r < rank; ++r)
    for (int64_t i = 0; i < sum.out; ++i) b(i, r) = found.left(r, i) * found.values[static_cast<size_t>(r)];
  difference.terms.push_back({{nullptr, b.row(0)}, {nullptr, found.right.row(0)}, rank, -1});
  return frobenius(difference, pool);
}

std::optional<Leading> quick(const FactoredSum& sum, int64_t rank, ThreadPool* pool) {
  const Halves m = halves(sum, pool);
  Matrix h = gram(m.rows.view(), pool);
  if (m.other) h = congruence(m.r, h, pool);
  double square = 0;
  for (int64_t i = 0; i < h.rows(); ++i) square += h(i, i);
  if (!(square > 0)) return {};
  Matrix y = applied(m, leading_eigenvectors(std::move(h), rank, pool), pool);
  for (int step = 0; step < most_steps; ++step) {
    Ritz found = ritz(m, std::move(y), pool);
    y = applied(m, found.v, pool);
    Matrix copy(rank, y.cols());
    std::copy(y.row(0), y.row(0) + rank * y.cols(), copy.row(0));
    if (!(residual(std::move(copy), found) <= residual_bound * found.values[0])) continue;
    double rest = square;
    for (double& value : found.values) rest -= value * value, value *= m.unit;
    Matrix v = m.other ? m.other->expand(found.v.view(), pool) : std::move(found.v);
    Leading result{std::move(found.u), std::move(v), std::move(found.values), std::sqrt(square) * m.unit, 0};
    if (m.transposed) std::swap(result.left, result.right);
    result.rest = rest > least_share * square ? std::sqrt(rest) * m.unit : rest_of(sum, result, pool);
    return result;
  }
  return {};
}

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
