// Right-looking, in blocks: a panel of rows is made final, then what stands below and right of it loses their products at once. As long as
// every pivot is positive this is backward stable without exchanges, as no column of u is longer than √g(i, i) (Higham 2002, "Accuracy and
// stability of numerical algorithms", section 10.1). A pivot that rounding made negative must not be raised where it stands: the rows
// behind it would grow. The whole diagonal is raised instead, and all begins anew (Fukaya et al. 2020, "Shifted Cholesky QR").
#include "factors/cholesky.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fedlora::factors {

namespace {
constexpr int64_t panel_width = 32, columns_a_task = 64;

/// The square block at `first` of `width` rows becomes its own factor; false at a pivot that is not positive.
bool factor_corner(Matrix& u, int64_t first, int64_t width) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t behind = first + width;
  for (int64_t i = first; i < behind; ++i) {
    double* row = u.row(i);
    if (!(row[i] > 0)) return false;
    row[i] = std::sqrt(row[i]);
    for (int64_t j = i + 1; j < behind; ++j) row[j] /= row[i];
    for (int64_t k = i + 1; k < behind; ++k) kernels.add_scaled(u.row(k) + k, row + k, behind - k, -row[k]);
  }
  return true;
}

/// Columns [from, to) of the panel: forward substitution by the transpose of its corner.
void solve_columns(Matrix& u, int64_t first, int64_t width, int64_t from, int64_t to) {
  const FactorKernels& kernels = factor_kernels();
  for (int64_t i = first; i < first + width; ++i) {
    double* row = u.row(i);
    for (int64_t k = first; k < i; ++k) kernels.add_scaled(row + from, u.row(k) + from, to - from, -u(k, i));
    for (int64_t j = from; j < to; ++j) row[j] /= u(i, i);
  }
}

/// The upper triangle of u becomes its factor; false when it is not positive definite.
bool factor(Matrix& u, ThreadPool* pool) {
  const int64_t n = u.rows();
  for (int64_t first = 0; first < n; first += panel_width) {
    const int64_t width = std::min(panel_width, n - first), behind = first + width, rest = n - behind;
    if (!factor_corner(u, first, width)) return false;
    run_tasks(rest > 2 * columns_a_task ? pool : nullptr, (rest + columns_a_task - 1) / columns_a_task, [&](int64_t task, int) {
      const int64_t from = behind + task * columns_a_task;
      solve_columns(u, first, width, from, std::min(from + columns_a_task, n));
    });
    if (rest == 0) break;
    const ConstView panel = u.view().block(first, behind, width, rest);
    multiply_add_upper(-1, panel.transposed(), panel, u.view().block(behind, behind, rest, rest), pool);
  }
  return true;
}
}  // namespace

Matrix cholesky(const Matrix& g, ThreadPool* pool) {
  const int64_t n = g.rows();
  double most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, g(i, i));
  const double unit = std::max(static_cast<double>(n) * std::numeric_limits<double>::epsilon() * most, std::numeric_limits<double>::min());
  Matrix u(n, n);
  for (double shift = 0; shift <= most + unit; shift = shift > 0 ? 8 * shift : unit) {
    for (int64_t i = 0; i < n; ++i) {
      std::copy(g.row(i) + i, g.row(i) + n, u.row(i) + i);
      u(i, i) += shift;
    }
    if (!factor(u, pool)) continue;
    for (int64_t i = 0; i < n; ++i) std::fill(u.row(i), u.row(i) + i, 0.0);
    return u;
  }
  std::fill(u.row(0), u.row(0) + n * n, std::numeric_limits<double>::quiet_NaN());
  return u;
}

}  // namespace fedlora::factors
