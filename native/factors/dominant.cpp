// Subspace iteration with Rayleigh-Ritz steps (Rutishauser 1969, "Computational aspects of F. L. Bauer's simultaneous iteration method") on
// coordinates x of v = x S: MᵀM v = (x · across · along) S, and v_i · v_j = x_i · across · x_jᵀ. A bound on the sum of the rest's squares
// (fourth powers) bounds its (e + 1)-th one by that divided by e + 1, so with e vectors more than wanted a step divides the error by e + 1
// (√(e + 1)) or more.
#include "factors/dominant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/philox.h"
#include "factors/cholesky.h"
#include "factors/jacobi.h"

namespace fedlora::factors {

namespace {
constexpr double eps = std::numeric_limits<double>::epsilon();
constexpr int64_t extra = 8;
constexpr int most_steps = 24, first_judged = 2, first_hoped = 3;
/// Where values stand out by their squares a step divides squares of the error by 81 in the end, by their fourth powers by nine. One that
/// divides them by less than six has come to rounding when the error is small, and otherwise leads nowhere.
constexpr double least_progress = 1.0 / 6, uncertain = 1e-6;

Matrix random_rows(int64_t count, int64_t n) {
  Matrix x(count, n);
  for (int64_t k = 0; k < count; ++k)
    for (int64_t i = 0; i < n; ++i)
      x(k, i) = static_cast<double>(Philox{0, static_cast<uint64_t>(k)}(static_cast<uint64_t>(i))[0]) * 0x1p-32 - 0.5;
  return x;
}

/// x ← u⁻ᵀ x for an upper triangular u.
void solve(const Matrix& u, Matrix& x) {
  for (int64_t i = 0; i < x.rows(); ++i) {
    for (int64_t k = 0; k < i; ++k) factor_kernels().add_scaled(x.row(i), x.row(k), x.cols(), -u(k, i));
    for (int64_t j = 0; j < x.cols(); ++j) x(i, j) /= u(i, i);
  }
}

struct Pencil {
  std::vector<double> values;
  Matrix turn;  // rows c: c inner cᵀ = 1, c outer cᵀ = value
};

/// Small and symmetric: outer cᵀ = value · inner cᵀ.
Pencil decompose(const Matrix& outer, const Matrix& inner) {
  const int64_t n = outer.rows();
  const Matrix u = cholesky(inner);
  Matrix half(n, n), turn(n, n);
  for (int64_t i = 0; i < n; ++i) std::copy(outer.row(i), outer.row(i) + n, half.row(i));
  solve(u, half);
  Matrix whole(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) whole(i, j) = half(j, i);
  solve(u, whole);
  Svd svd = jacobi_svd(whole.view());
  for (int64_t i = 0; i < n; ++i) turn(i, i) = 1;
  solve(u, turn);
  return {std::move(svd.values), product(svd.right.view(), turn.view())};
}

/// Σ values[i] · ‖v_i − w_i‖² of the first `rank`, by their coordinates x and p and by y = x · across and q = p · across.
double change(const Matrix& x, const Matrix& p, const Matrix& y, const Matrix& q, const std::vector<double>& values, int64_t rank) {
  double sum = 0;
  for (int64_t i = 0; i < rank; ++i) {
    double square = 0;
    for (int64_t j = 0; j < x.cols(); ++j) square += (x(i, j) - p(i, j)) * (y(i, j) - q(i, j));
    sum += values[static_cast<size_t>(i)] * std::fabs(square);
  }
  return sum;
}
/// What is left of Σ σ², and of Σ σ⁴ = tr (along · across)², without the leading values.
class Rest {
 public:
  Rest(const Matrix& along, const Matrix& across, double square, ThreadPool* pool)
      : along_(along), across_(across), square_(square), pool_(pool) {}

  /// Whether one of the two is at most `slack` times its last leading value, and that is no rounding error. With slack 1 every other
  /// singular value is below the last of `rank`.
  bool below_last(const std::vector<double>& values, int64_t rank, double slack) {
    const double last = values[static_cast<size_t>(rank - 1)], rounding = static_cast<double>(along_.rows()) * eps;
    double squares = square_, fourths = 0;
    for (int64_t i = 0; i < rank; ++i) squares -= values[static_cast<size_t>(i)], fourths -= std::pow(values[static_cast<size_t>(i)], 2);
    if (squares <= slack * last && last > rounding * square_) return true;
    if (!(fourth_ > 0)) fourth_ = trace_of_square(product(along_.view(), across_.view(), pool_));
    fourths += fourth_;
    return fourths <= slack * last * last && last * last > rounding * fourth_;
  }

 private:
  static double trace_of_square(const Matrix& x) {
    double sum = 0;
    for (int64_t i = 0; i < x.rows(); ++i)
      for (int64_t j = 0; j < x.rows(); ++j) sum += x(i, j) * x(j, i);
    return sum;
  }

  const Matrix &along_, &across_;
  double square_, fourth_ = 0;
  ThreadPool* pool_;
};
}  // namespace

std::optional<Matrix> dominant(const Matrix& along, const Matrix& across, double square, int64_t rank, double tolerance, ThreadPool* pool) {
  Matrix x = random_rows(rank + extra, along.rows()), before, before_across;
  Rest rest(along, across, square, pool);
  std::vector<double> values;
  double last_moved = std::numeric_limits<double>::infinity();
  for (int step = 0; step < most_steps; ++step) {
    const Matrix y = product(x.view(), across.view(), pool);
    if (step >= first_judged) {
      const double moved = change(x, before, y, before_across, values, rank), slowest = least_progress * last_moved;
      last_moved = moved;
      const bool arrived = moved <= tolerance * tolerance * values[0], stands = moved > slowest;
      if (stands && !(moved <= uncertain * uncertain * values[0])) return {};
      if (step == first_hoped && !rest.below_last(values, rank, 2)) return {};
      if (arrived || stands) {
        if (!rest.below_last(values, rank, 1)) return {};
        Matrix leading(rank, x.cols());
        std::copy(x.row(0), x.row(0) + rank * x.cols(), leading.row(0));
        return leading;
      }
    }
    const Matrix z = product(y.view(), along.view(), pool);
    const Pencil pencil = decompose(product(z.view(), y.view().transposed(), pool), product(y.view(), x.view().transposed(), pool));
    values = pencil.values;
    if (!(values[0] > 0)) return {};
    before = product(pencil.turn.view(), x.view());
    before_across = product(pencil.turn.view(), y.view());
    x = product(pencil.turn.view(), z.view());
    const double least = values[0] * eps;
    for (int64_t i = 0; i < x.rows(); ++i)
      for (int64_t j = 0; j < x.cols(); ++j) x(i, j) /= std::max(values[static_cast<size_t>(i)], least);
  }
  return {};
}

}  // namespace fedlora::factors
