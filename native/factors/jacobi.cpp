// One-sided Jacobi after Hestenes 1958; rotations as Demmel and Veselić 1992, "Jacobi's method is more accurate than QR", algorithm 4.1,
// with de Rijk's order: the longest column that is left comes first.
#include "factors/jacobi.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "factors/kernels.h"

namespace fedlora::factors {

namespace {
constexpr int most_sweeps = 60;

/// Rotates rows i and j of `x`, and of `turns`, until they are orthogonal; false when they are already.
bool orthogonalise(const FactorKernels& kernels, Matrix& x, Matrix& turns, std::vector<double>& squares, int64_t i, int64_t j,
                   double tolerance) {
  const int64_t m = x.cols();
  const double a = squares[static_cast<size_t>(i)], b = squares[static_cast<size_t>(j)];
  if (!(a > 0 && b > 0)) return false;
  const double along = kernels.dot(x.row(i), x.row(j), m);
  if (std::fabs(along) <= tolerance * std::sqrt(a) * std::sqrt(b)) return false;
  const double zeta = (b - a) / (2 * along);
  const double t = (zeta >= 0 ? 1 : -1) / (std::fabs(zeta) + std::hypot(1, zeta));
  const double c = 1 / std::sqrt(1 + t * t), s = c * t;
  kernels.rotate(x.row(i), x.row(j), m, c, s);
  kernels.rotate(turns.row(i), turns.row(j), turns.cols(), c, s);
  squares[static_cast<size_t>(i)] = kernels.dot(x.row(i), x.row(i), m);
  squares[static_cast<size_t>(j)] = kernels.dot(x.row(j), x.row(j), m);
  return true;
}

/// The longest of the rows from `i` on comes to `i`.
void bring_longest(Matrix& x, Matrix& turns, std::vector<double>& squares, int64_t i) {
  const auto longest = std::max_element(squares.begin() + i, squares.end()) - squares.begin();
  if (longest == i || !(squares[static_cast<size_t>(longest)] > squares[static_cast<size_t>(i)])) return;
  std::swap_ranges(x.row(i), x.row(i) + x.cols(), x.row(longest));
  std::swap_ranges(turns.row(i), turns.row(i) + turns.cols(), turns.row(longest));
  std::swap(squares[static_cast<size_t>(i)], squares[static_cast<size_t>(longest)]);
}
}  // namespace

Svd jacobi_svd(ConstView given) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t m = given.rows, n = given.cols;
  Matrix x(n, m), turns(n, n);
  std::vector<double> squares(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < m; ++j) x(i, j) = given(j, i);
    turns(i, i) = 1;
  }
  const double tolerance = std::sqrt(static_cast<double>(m)) * std::numeric_limits<double>::epsilon();
  int sweep = 0;
  for (bool turned = true; turned; ++sweep) {
    if (sweep == most_sweeps) fail(Code::E_INTERNAL, "the singular value decomposition has not converged in %d sweeps", sweep);
    turned = false;
    for (int64_t i = 0; i < n; ++i) squares[static_cast<size_t>(i)] = kernels.dot(x.row(i), x.row(i), m);
    for (int64_t i = 0; i < n; ++i) {
      bring_longest(x, turns, squares, i);
      for (int64_t j = i + 1; j < n; ++j) turned |= orthogonalise(kernels, x, turns, squares, i, j, tolerance);
    }
  }
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return squares[static_cast<size_t>(i)] > squares[static_cast<size_t>(j)]; });
  Svd svd{std::vector<double>(static_cast<size_t>(n)), Matrix(n, m), Matrix(n, n)};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t from = order[static_cast<size_t>(i)];
    const double value = std::sqrt(squares[static_cast<size_t>(from)]);
    svd.values[static_cast<size_t>(i)] = value;
    for (int64_t j = 0; j < m; ++j) svd.left(i, j) = value > 0 ? x(from, j) / value : 0;
    std::copy(turns.row(from), turns.row(from) + n, svd.right.row(i));
  }
  return svd;
}

}  // namespace fedlora::factors
