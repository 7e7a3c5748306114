// M = Lᵀ S, L [n, long] and S [n, short] the factors of both sides, and their Gram matrices L Lᵀ and S Sᵀ hold the squares of M's singular
// values: where the wanted ones stand out, subspace iteration finds their directions; otherwise, with L Lᵀ = Uᵀ U, they are w U S of the
// leading eigenvectors w of H = U (S Sᵀ) Uᵀ. Squaring costs accuracy, so these directions are only where a Rayleigh-Ritz step on M itself
// begins: U S Vᵀ of M V_0, V_0 from their QR, and again from Mᵀ U until ‖Mᵀ U − V S‖ ≤ 1e-12 ‖M‖₂, which bounds how far U, S, V are from
// exact triplets of a matrix at that distance.
#include "factors/quick.h"

#include <algorithm>
#include <cmath>

#include "factors/cholesky.h"
#include "factors/dominant.h"
#include "factors/eigenvectors.h"
#include "factors/jacobi.h"
#include "factors/qr.h"
#include "factors/stacks.h"

namespace fedlora::factors {

namespace {
constexpr double residual_bound = 1e-12;
constexpr int most_steps = 3;
/// Below this share of ‖M‖² what is left of a difference of squares is rounding: it is computed anew.
constexpr double least_share = 1e-6;

/// M = unit · Lᵀ · S, or its transpose. Where M is smaller than its factors it is formed: L = Mᵀ [short, long], and S is the identity.
struct Halves {
  Matrix longer;   // L [n, long]
  Matrix shorter;  // S [n, short]
  bool formed;
  double unit;
  bool transposed;  // `longer` is along in
};

Halves halves(const FactoredSum& sum, ThreadPool* pool) {
  Stacks stacks = stack(sum, pool);
  const bool transposed = sum.in > sum.out, formed = smaller_dense(sum);
  Matrix &longer = transposed ? stacks.a : stacks.b, &shorter = transposed ? stacks.b : stacks.a;
  if (formed) return {product(shorter.view().transposed(), longer.view(), pool), {}, true, stacks.unit, transposed};
  return {std::move(longer), std::move(shorter), false, stacks.unit, transposed};
}

/// M V for rows v [rank, short]: [rank, long].
Matrix applied(const Halves& m, const Matrix& v, ThreadPool* pool) {
  if (m.formed) return product(v.view(), m.longer.view(), pool);
  return product(product(v.view(), m.shorter.view().transposed(), pool).view(), m.longer.view(), pool);
}

/// Mᵀ U for rows u [rank, long]: [rank, short].
Matrix applied_transposed(const Halves& m, const Matrix& u, ThreadPool* pool) {
  Matrix along = product(u.view(), m.longer.view().transposed(), pool);
  return m.formed ? std::move(along) : product(along.view(), m.shorter.view(), pool);
}

struct Start {
  Matrix rows;    // [rank, short], near the leading right singular vectors
  double square;  // ‖M‖²
};

Start start(const Halves& m, int64_t rank, ThreadPool* pool) {
  Matrix g = gram(m.longer.view(), pool);
  double square = 0;
  if (m.formed) {
    for (int64_t i = 0; i < g.rows(); ++i) square += g(i, i);
    return {leading_eigenvectors(std::move(g), rank, pool), square};
  }
  const Matrix other = gram(m.shorter.view(), pool);
  square = factor_kernels().dot(g.row(0), other.row(0), g.rows() * g.rows());  // the trace of L Lᵀ S Sᵀ
  if (const auto x = dominant(g, other, square, rank, residual_bound, pool)) return {product(x->view(), m.shorter.view(), pool), square};
  const Matrix u = cholesky(g, pool);
  const Matrix w = leading_eigenvectors(congruence(u, other, pool), rank, pool);
  return {product(product(w.view(), u.view(), pool).view(), m.shorter.view(), pool), square};
}

struct Ritz {
  Matrix u, v;  // rows [rank, long] and [rank, short]
  std::vector<double> values;
};

/// U S Vᵀ of M V_0 V_0ᵀ, V_0 an orthonormal basis of the rows of y [rank, short].
Ritz ritz(const Halves& m, Matrix y, ThreadPool* pool) {
  const int64_t rank = y.rows();
  Matrix one(rank, rank);
  for (int64_t i = 0; i < rank; ++i) one(i, i) = 1;
  const Matrix basis = TallQr(std::move(y), pool).expand(one.view(), pool);
  const TallQr image(applied(m, basis, pool), pool);
  Svd svd = jacobi_svd(image.r().view());
  return {image.expand(svd.left.view(), pool), product(svd.right.view(), basis.view(), pool), std::move(svd.values)};
}

/// ‖Mᵀ U − V S‖ of y = Mᵀ U.
double residual(const Matrix& y, const Ritz& found) {
  Matrix difference(y.rows(), y.cols());
  std::copy(y.row(0), y.row(0) + y.rows() * y.cols(), difference.row(0));
  for (int64_t i = 0; i < y.rows(); ++i)
    factor_kernels().add_scaled(difference.row(i), found.v.row(i), y.cols(), -found.values[static_cast<size_t>(i)]);
  return norm(difference);
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

}  // namespace

std::optional<Leading> quick(const FactoredSum& sum, int64_t rank, ThreadPool* pool) {
  const Halves m = halves(sum, pool);
  auto [y, square] = start(m, rank, pool);
  if (!(square > 0)) return {};
  for (int step = 0; step < most_steps; ++step) {
    Ritz found = ritz(m, std::move(y), pool);
    y = applied_transposed(m, found.u, pool);
    if (!(residual(y, found) <= residual_bound * found.values[0])) continue;
    double rest = square;
    for (double& value : found.values) rest -= value * value, value *= m.unit;
    Leading result{std::move(found.u), std::move(found.v), std::move(found.values), std::sqrt(square) * m.unit, 0};
    if (m.transposed) std::swap(result.left, result.right);
    result.rest = rest > least_share * square ? std::sqrt(rest) * m.unit : rest_of(sum, result, pool);
    return result;
  }
  return {};
}

}  // namespace fedlora::factors
