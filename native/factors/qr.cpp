// Schreiber and Van Loan 1989, "A storage-efficient WY representation for products of Householder transformations": the reflections of a
// panel are I − V T Vᵀ, so that the columns behind it change by two products of matrices.
#include "factors/qr.h"

#include <algorithm>
#include <cmath>

namespace fedlora::factors {

namespace {
constexpr int64_t panel_width = 32;
}

void TallQr::factor_panel(int64_t first, int64_t width) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t m = columns_.cols();
  for (int64_t j = first; j < first + width; ++j) {
    double* x = columns_.row(j);
    const double head = x[j], tail = kernels.dot(x + j + 1, x + j + 1, m - j - 1);
    double tau = 0;
    if (tail > 0) {
      const double length = std::sqrt(head * head + tail), r = head > 0 ? -length : length;
      tau = (r - head) / r;
      const double unit = 1 / (head - r);
      for (int64_t i = j + 1; i < m; ++i) x[i] *= unit;
      x[j] = r;
    }
    for (int64_t k = j + 1; tau != 0 && k < first + width; ++k) {
      double* y = columns_.row(k);
      const double along = -tau * (y[j] + kernels.dot(x + j + 1, y + j + 1, m - j - 1));
      y[j] += along;
      kernels.add_scaled(y + j + 1, x + j + 1, m - j - 1, along);
    }
    // T's column j: −τ · T · (Vᵀ v_j) above its diagonal τ.
    double along[panel_width];
    for (int64_t i = first; i < j; ++i) {
      const double* v = columns_.row(i);
      along[i - first] = v[j] + kernels.dot(v + j + 1, x + j + 1, m - j - 1);
    }
    for (int64_t i = first; i < j; ++i) {
      double sum = 0;
      for (int64_t k = i; k < j; ++k) sum += blocks_(i, k - first) * along[k - first];
      blocks_(i, j - first) = -tau * sum;
    }
    blocks_(j, j - first) = tau;
  }
}

Matrix TallQr::reflectors(int64_t first, int64_t width) const {
  Matrix v(width, columns_.cols() - first);
  for (int64_t i = 0; i < width; ++i) {
    v(i, i) = 1;
    std::copy(columns_.row(first + i) + first + i + 1, columns_.row(first + i) + columns_.cols(), v.row(i) + i + 1);
  }
  return v;
}

TallQr::TallQr(Matrix columns, ThreadPool* pool)
    : columns_(std::move(columns)), blocks_(columns_.rows(), std::min(panel_width, columns_.rows())) {
  const int64_t n = columns_.rows(), m = columns_.cols();
  for (int64_t first = 0; first < n; first += panel_width) {
    const int64_t width = std::min(panel_width, n - first), behind = n - first - width;
    factor_panel(first, width);
    if (behind == 0) break;
    const Matrix v = reflectors(first, width);
    const View rest = columns_.view().block(first + width, first, behind, m - first);
    const Matrix along = product(rest, v.view().transposed(), pool);
    const Matrix turned = product(along.view(), blocks_.view().block(first, 0, width, width));
    multiply_add(-1, turned.view(), v.view(), rest, pool);
  }
}

Matrix TallQr::r() const {
  Matrix r(columns_.rows(), columns_.rows());
  for (int64_t j = 0; j < columns_.rows(); ++j)
    for (int64_t i = 0; i <= j; ++i) r(i, j) = columns_(j, i);
  return r;
}

Matrix TallQr::expand(ConstView coefficients, ThreadPool* pool) const {
  const int64_t n = columns_.rows(), m = columns_.cols();
  Matrix y(coefficients.rows, m);
  for (int64_t i = 0; i < coefficients.rows; ++i)
    for (int64_t j = 0; j < n; ++j) y(i, j) = coefficients(i, j);
  for (int64_t first = (n - 1) / panel_width * panel_width; first >= 0; first -= panel_width) {
    const int64_t width = std::min(panel_width, n - first);
    const Matrix v = reflectors(first, width);
    const View rest = y.view().block(0, first, y.rows(), m - first);
    const Matrix along = product(rest, v.view().transposed(), pool);
    const Matrix turned = product(along.view(), blocks_.view().block(first, 0, width, width).transposed());
    multiply_add(-1, turned.view(), v.view(), rest, pool);
  }
  return y;
}

}  // namespace fedlora::factors
