// Wilkinson 1965, "The algebraic eigenvalue problem", chapter 5: bisection on Sturm counts and inverse iteration.
#include "factors/tridiagonal.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/philox.h"
#include "factors/kernels.h"

namespace fedlora::factors {

namespace {
constexpr double eps = std::numeric_limits<double>::epsilon();
constexpr int inverse_iterations = 3;

/// ‖t‖ of the largest row sum: every eigenvalue lies within.
double bound(const Tridiagonal& t) {
  const size_t n = t.diagonal.size();
  double most = 0;
  for (size_t i = 0; i < n; ++i)
    most = std::max(most, std::fabs(t.diagonal[i]) + (i > 0 ? std::fabs(t.beside[i - 1]) : 0) + (i + 1 < n ? std::fabs(t.beside[i]) : 0));
  return most;
}

/// counts[k] = eigenvalues below points[k]; `least` keeps pivots from vanishing.
void sturm_counts(const Tridiagonal& t, const std::vector<double>& points, double least, std::vector<int64_t>& counts) {
  const size_t n = t.diagonal.size(), many = points.size();
  std::vector<double> pivots(many, 1);
  std::fill(counts.begin(), counts.end(), 0);
  for (size_t i = 0; i < n; ++i) {
    const double square = i > 0 ? t.beside[i - 1] * t.beside[i - 1] : 0, d = t.diagonal[i];
    for (size_t k = 0; k < many; ++k) {
      double pivot = d - points[k] - square / pivots[k];
      if (std::fabs(pivot) < least) pivot = -least;
      counts[k] += pivot < 0;
      pivots[k] = pivot;
    }
  }
}

/// T − λI = P L U by elimination with row exchanges; U has two diagonals above its own.
class Shifted {
 public:
  Shifted(const Tridiagonal& t, double lambda, double least)
      : n_(t.diagonal.size()), u0_(n_), u1_(n_), u2_(n_), factors_(n_), swapped_(n_) {
    double head = t.diagonal[0] - lambda, next = n_ > 1 ? t.beside[0] : 0;
    for (size_t i = 0; i + 1 < n_; ++i) {
      const double below = t.beside[i], diagonal = t.diagonal[i + 1] - lambda, after = i + 2 < n_ ? t.beside[i + 1] : 0;
      swapped_[i] = std::fabs(below) > std::fabs(head);
      if (swapped_[i]) {
        factors_[i] = head / below;
        u0_[i] = below, u1_[i] = diagonal, u2_[i] = after;
        head = next - factors_[i] * diagonal, next = -factors_[i] * after;
      } else {
        u0_[i] = std::fabs(head) < least ? least : head;
        factors_[i] = below / u0_[i];
        u1_[i] = next, u2_[i] = 0;
        head = diagonal - factors_[i] * next, next = after;
      }
    }
    u0_[n_ - 1] = std::fabs(head) < least ? least : head;
  }

  /// x ← (T − λI)⁻¹ x.
  void solve(double* x) const {
    for (size_t i = 0; i + 1 < n_; ++i) {
      if (swapped_[i]) std::swap(x[i], x[i + 1]);
      x[i + 1] -= factors_[i] * x[i];
    }
    for (size_t i = n_; i-- > 0;) {
      double sum = x[i];
      if (i + 1 < n_) sum -= u1_[i] * x[i + 1];
      if (i + 2 < n_) sum -= u2_[i] * x[i + 2];
      x[i] = sum / u0_[i];
    }
  }

 private:
  size_t n_;
  std::vector<double> u0_, u1_, u2_, factors_;
  std::vector<char> swapped_;
};

void normalise(double* x, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  for (int64_t i = 0; i < n; ++i) x[i] /= most;
  const double unit = 1 / std::sqrt(factor_kernels().dot(x, x, n));
  for (int64_t i = 0; i < n; ++i) x[i] *= unit;
}
}  // namespace

std::vector<double> leading_eigenvalues(const Tridiagonal& t, int64_t rank) {
  const double most = bound(t), least = std::max(most * eps * eps, std::numeric_limits<double>::min());
  const int64_t n = static_cast<int64_t>(t.diagonal.size());
  const size_t many = static_cast<size_t>(rank);
  std::vector<double> low(many, -most), high(many, most), middle(many);
  std::vector<int64_t> counts(many);
  for (int step = 0; step < 60; ++step) {  // 2⁻⁶⁰ of the interval is below its rounding
    for (size_t k = 0; k < many; ++k) middle[k] = 0.5 * (low[k] + high[k]);
    sturm_counts(t, middle, least, counts);
    for (size_t k = 0; k < many; ++k) (counts[k] < n - static_cast<int64_t>(k) ? low[k] : high[k]) = middle[k];
  }
  return low;
}

Matrix leading_eigenvectors(const Tridiagonal& t, int64_t rank) {
  const FactorKernels& kernels = factor_kernels();
  const int64_t n = static_cast<int64_t>(t.diagonal.size());
  const double least = std::max(bound(t) * eps, std::numeric_limits<double>::min());
  const std::vector<double> values = leading_eigenvalues(t, rank);
  Matrix vectors(rank, n);
  for (int64_t k = 0; k < rank; ++k) {
    double* x = vectors.row(k);
    for (int64_t i = 0; i < n; ++i)
      x[i] = static_cast<double>(Philox{0, static_cast<uint64_t>(k)}(static_cast<uint64_t>(i))[0]) * 0x1p-32 - 0.5;
    const Shifted shifted(t, values[static_cast<size_t>(k)], least);
    for (int iteration = 0; iteration < inverse_iterations; ++iteration) {
      shifted.solve(x);
      normalise(x, n);
      for (int twice = 0; twice < 2; ++twice)
        for (int64_t p = 0; p < k; ++p) kernels.add_scaled(x, vectors.row(p), n, -kernels.dot(vectors.row(p), x, n));
      normalise(x, n);
    }
  }
  return vectors;
}

}  // namespace fedlora::factors
