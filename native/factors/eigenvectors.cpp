// Householder tridiagonalisation in blocks (Dongarra, Sorensen and Hammarling 1989, "Block reduction of matrices to condensed forms"), then
// eigenvalues of the tridiagonal T by bisection on Sturm counts and its eigenvectors by inverse iteration (Wilkinson 1965), each made
// orthogonal to those before it, which also tells repeated eigenvalues apart.
#include "factors/eigenvectors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "factors/tridiagonal.h"

namespace fedlora::factors {

namespace {
constexpr int64_t panel_width = 32, rows_a_group = 64;

/// h = Q T Qᵀ; Q is the product of I − taus[c] v_c v_cᵀ, v_c in row c.
struct Tridiagonalised {
  Tridiagonal t;
  Matrix reflections;
  std::vector<double> taus;
};

/// y[i] = Σ_j h[i][j] x[j] for i and j ≥ first, from the upper triangle of h: each of its rows is read once and serves as a column too.
/// Rows in groups, each with sums of its own in `parts`, which are then added in order.
void symmetric_product(const Matrix& h, const double* x, double* y, int64_t first, Matrix& parts, ThreadPool* pool) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t n = h.rows(), groups = (n - first + rows_a_group - 1) / rows_a_group;
  run_tasks(n - first > 128 ? pool : nullptr, groups, [&](int64_t group, int) {
    double* sum = parts.row(group);
    const int64_t from = first + group * rows_a_group;
    std::fill(sum + from, sum + n, 0.0);
    for (int64_t i = from; i < std::min(from + rows_a_group, n); ++i) {
      const double* row = h.row(i);
      sum[i] += kernels.dot(row + i, x + i, n - i);
      kernels.add_scaled(sum + i + 1, row + i + 1, n - i - 1, x[i]);
    }
  });
  std::fill(y + first, y + n, 0.0);
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t from = first + group * rows_a_group;
    kernels.add_scaled(y + from, parts.row(group) + from, n - from, 1);
  }
}

/// x[from:] becomes a reflection v with v[from] = 1; returns tau, and in `value` what stands at `from` after it.
double reflection(double* x, int64_t from, int64_t n, double& value) {
  const double head = x[from], tail = factor_kernels().dot(x + from + 1, x + from + 1, n - from - 1);
  value = head, x[from] = 1;
  if (!(tail > 0)) return 0;
  const double length = std::sqrt(head * head + tail);
  value = head > 0 ? -length : length;
  const double unit = 1 / (head - value);
  for (int64_t i = from + 1; i < n; ++i) x[i] *= unit;
  return (value - head) / value;
}

Tridiagonalised tridiagonalise(Matrix h, ThreadPool* pool) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t n = h.rows();
  Tridiagonalised result{{std::vector<double>(static_cast<size_t>(n)), std::vector<double>(static_cast<size_t>(n))}, Matrix(n, n), {}};
  result.taus.resize(static_cast<size_t>(n));
  Matrix w(panel_width, n), parts((n + rows_a_group - 1) / rows_a_group, n);
  for (int64_t first = 0; first < n; first += panel_width) {
    const int64_t behind = std::min(first + panel_width, n);
    for (int64_t c = first; c < behind; ++c) {
      double *v = result.reflections.row(c), *along = w.row(c - first);
      std::copy(h.row(c) + c, h.row(c) + n, v + c);
      for (int64_t p = first; p < c; ++p) {
        kernels.add_scaled(v + c, w.row(p - first) + c, n - c, -result.reflections(p, c));
        kernels.add_scaled(v + c, result.reflections.row(p) + c, n - c, -w(p - first, c));
      }
      result.t.diagonal[static_cast<size_t>(c)] = v[c];
      v[c] = 0;
      if (c + 1 == n) break;
      const int64_t from = c + 1;
      const double tau = result.taus[static_cast<size_t>(c)] = reflection(v, from, n, result.t.beside[static_cast<size_t>(c)]);
      std::fill(along, along + n, 0.0);
      if (tau == 0) continue;
      symmetric_product(h, v, along, from, parts, pool);
      for (int64_t p = first; p < c; ++p) {
        const double *vp = result.reflections.row(p), *wp = w.row(p - first);
        const double w_part = kernels.dot(wp + from, v + from, n - from), v_part = kernels.dot(vp + from, v + from, n - from);
        kernels.add_scaled(along + from, vp + from, n - from, -w_part);
        kernels.add_scaled(along + from, wp + from, n - from, -v_part);
      }
      const double share = -0.5 * tau * tau * kernels.dot(along + from, v + from, n - from);
      for (int64_t i = from; i < n; ++i) along[i] *= tau;
      kernels.add_scaled(along + from, v + from, n - from, share);
    }
    if (behind == n) break;
    const int64_t width = behind - first, rest = n - behind;
    const ConstView v = result.reflections.view().block(first, behind, width, rest);
    const ConstView turned = w.view().block(0, behind, width, rest);
    const View place = h.view().block(behind, behind, rest, rest);
    multiply_add_upper(-1, v.transposed(), turned, place, pool);
    multiply_add_upper(-1, turned.transposed(), v, place, pool);
  }
  return result;
}
}  // namespace

Matrix leading_eigenvectors(Matrix h, int64_t rank, ThreadPool* pool) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t n = h.rows();
  const Tridiagonalised reduced = tridiagonalise(std::move(h), pool);
  Matrix vectors = leading_eigenvectors(reduced.t, rank);
  run_tasks(pool, rank, [&](int64_t k, int) {
    for (int64_t c = n - 2; c >= 0; --c) {
      const double* v = reduced.reflections.row(c) + c + 1;
      double* y = vectors.row(k) + c + 1;
      kernels.add_scaled(y, v, n - c - 1, -reduced.taus[static_cast<size_t>(c)] * kernels.dot(v, y, n - c - 1));
    }
  });
  return vectors;
}

}  // namespace fedlora::factors
