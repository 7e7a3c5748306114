// Sums of low-rank products: norms, nearest pairs and singular values beside the dense matrix in plain loops; both ways of finding the
// leading triplets; threads.
#include <algorithm>

#include "dense_check.h"
#include "factors/factored.h"
#include "factors/jacobi.h"
#include "factors/quick.h"
#include "harness.h"

using namespace fedlora;
using namespace fedlora::factors;
using namespace dense_check;

namespace {
/// A sum that owns its matrices.
struct Owned {
  FactoredSum sum;
  std::vector<std::vector<float>> single;
  std::vector<std::vector<double>> wide;

  Owned(int64_t out, int64_t in) : sum{out, in, {}} {}
  void add(int64_t rank, double scale, uint64_t seed, double shared = 0, bool floats = true) {
    const Matrix a = mixed(rank, sum.in, seed, shared), b = mixed(sum.out, rank, seed + 1000, shared);
    Term term{keep(b, floats), keep(a, floats), rank, scale};
    sum.terms.push_back(term);
  }
  /// Noise and, by the share `shared`, what all have in common.
  static Matrix mixed(int64_t rows, int64_t cols, uint64_t seed, double shared) {
    Matrix x = normal(rows, cols, seed);
    const Matrix common = normal(rows, cols, 99);
    for (int64_t i = 0; i < rows * cols; ++i) x.row(0)[i] = (1 - shared) * x.row(0)[i] + shared * common.row(0)[i];
    return x;
  }
  Values keep(const Matrix& x, bool floats) {
    const size_t count = static_cast<size_t>(x.rows() * x.cols());
    if (floats) {
      single.emplace_back(x.row(0), x.row(0) + count);
      return {single.back().data(), nullptr};
    }
    wide.emplace_back(x.row(0), x.row(0) + count);
    return {nullptr, wide.back().data()};
  }
};

Matrix plain(const FactoredSum& sum) {
  Matrix m(sum.out, sum.in);
  for (int64_t i = 0; i < sum.out; ++i)
    for (int64_t j = 0; j < sum.in; ++j) {
      long double total = 0;
      for (const Term& term : sum.terms)
        for (int64_t r = 0; r < term.rank; ++r)
          total += static_cast<long double>(term.weight(r)) * term.b[i * term.rank + r] * term.a[r * sum.in + j];
      m(i, j) = static_cast<double>(total);
    }
  return m;
}

Matrix product_of(const Leading& found) {
  Matrix left = copied(found.left.view());
  for (int64_t r = 0; r < left.rows(); ++r)
    for (int64_t i = 0; i < left.cols(); ++i) left(r, i) *= found.values[static_cast<size_t>(r)];
  return plain_product(left.view().transposed(), found.right.view());
}

/// Judges everything about `sum` by its dense matrix, to `bound` of its norm.
void judge(const FactoredSum& sum, int64_t rank, double bound) {
  const Matrix m = plain(sum);
  const double whole = norm(m.view()), unit = whole > 0 ? whole : 1, allowed = bound * std::max(whole, 1e-300);
  CHECK_LE(distance(dense(sum).view(), m.view()), allowed);
  CHECK_LE(std::fabs(frobenius(sum) - whole), allowed);
  const Beside both = beside(sum);
  CHECK_LE(distance(plain_product(both.b.view(), both.a.view()).view(), m.view()), allowed);
  Matrix scaled = copied(m.rows() >= m.cols() ? m.view() : m.view().transposed());
  for (int64_t i = 0; i < sum.out * sum.in; ++i) scaled.row(0)[i] /= unit;
  Svd svd = jacobi_svd(scaled.view());
  double rest = 0;
  for (size_t i = static_cast<size_t>(rank); i < svd.values.size(); ++i) rest += svd.values[i] * svd.values[i];
  rest = std::sqrt(rest) * unit;
  for (double& value : svd.values) value *= unit;
  const std::vector<double> values = singular_values(sum);
  CHECK(values.size() == svd.values.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK_LE(std::fabs(values[i] - svd.values[i]), allowed);
  const Leading found = leading(sum, rank);
  for (size_t i = 0; i < static_cast<size_t>(rank); ++i) CHECK_LE(std::fabs(found.values[i] - svd.values[i]), allowed);
  CHECK_LE(std::fabs(found.norm - whole), allowed);
  CHECK_LE(std::fabs(found.rest - rest), allowed);
  // Nothing of that rank is nearer (Eckart and Young).
  CHECK_LE(distance(product_of(found).view(), m.view()), rest + allowed);
}
}  // namespace

CASE("small sums: tall, wide, one row, one column, more ranks than rows; floats and doubles") {
  for (const auto& [out, in] : std::vector<std::array<int64_t, 2>>{{1, 1}, {1, 9}, {9, 1}, {24, 20}, {9, 40}, {40, 9}, {60, 50}})
    for (int clients : {1, 2, 5}) {
      Owned owned(out, in);
      for (int k = 0; k < clients; ++k) owned.add(k % 2 ? 3 : 8, 0.3 * k - 0.5, static_cast<uint64_t>(k), 0.5, k % 2 == 0);
      judge(owned.sum, std::min<int64_t>({4, out, in}), 1e-13);
    }
}

CASE("nothing, zeros, terms that cancel, scales of 0, extreme magnitudes, weights of single ranks") {
  Owned empty(6, 5);
  CHECK(frobenius(empty.sum) == 0 && leading(empty.sum, 2).values[0] == 0 && singular_values(empty.sum)[4] == 0);
  Owned zeros(20, 30);
  zeros.single.emplace_back(200, 0.0f);
  zeros.sum.terms.push_back({{zeros.single[0].data(), nullptr}, {zeros.single[0].data(), nullptr}, 5, 1});
  CHECK(frobenius(zeros.sum) == 0 && leading(zeros.sum, 3).rest == 0);
  Owned cancelling(20, 30);
  cancelling.add(4, 1, 1), cancelling.add(4, -1, 1);
  CHECK_LE(frobenius(cancelling.sum), 1e-13);
  Owned silent(20, 30);
  silent.add(4, 0, 2), silent.add(4, 1, 1);
  CHECK(silent.sum.rank() == 4);
  judge(silent.sum, 3, 1e-13);
  for (double magnitude : {1e-200, 1e200}) {
    Owned extreme(20, 30);
    extreme.add(4, magnitude, 1, 0, false), extreme.add(4, -0.5 * magnitude, 2, 0, false);
    judge(extreme.sum, 3, 1e-13);
  }
  for (int64_t at : {5, 48}) {  // one value that is larger than all squares may be
    Owned spike(20, 30);
    Matrix b(20, 3);
    b.row(0)[at] = 1e200;
    const Values left = spike.keep(b, false);
    spike.sum.terms.push_back({left, spike.keep(normal(3, 30, 4), false), 3, 1});
    judge(spike.sum, 3, 1e-13);
  }
  Owned weighted(20, 30);
  weighted.add(4, 2, 1), weighted.add(2, 1, 2);
  weighted.sum.terms[0].weights = {1, 0.25, 0, -3};
  judge(weighted.sum, 3, 1e-13);
}

CASE("large cores: leading triplets by the quick way are those of the dense matrix") {
  for (double shared : {0.0, 0.5, 0.999}) {  // flat, with a step, nearly all in common
    Owned tall(150, 130), wide(130, 150), crowded(260, 110);
    for (uint64_t k = 0; k < 8; ++k) {
      tall.add(15, 0.1 * static_cast<double>(k + 1), k, shared), wide.add(15, 0.1 * static_cast<double>(k + 1), k, shared);
      crowded.add(16, 0.2, k, shared, false);
    }
    CHECK(quick(tall.sum, 15) && quick(wide.sum, 15) && quick(crowded.sum, 16));
    judge(tall.sum, 15, 1e-11), judge(wide.sum, 15, 1e-11), judge(crowded.sum, 16, 1e-11);
  }
}

namespace {
/// Σ of one term with the given singular values [n, n].
Owned square_of(const std::vector<double>& values) {
  const int64_t n = static_cast<int64_t>(values.size());
  Owned owned(n, n);
  Matrix one(n, n);
  for (int64_t i = 0; i < n; ++i) one(i, i) = 1;
  const Values b = owned.keep(with_values(values, n, n, 51), false);
  owned.sum.terms.push_back({b, owned.keep(one, false), n, 1});
  return owned;
}
}  // namespace

CASE("large cores: directions that squares leave uncertain are refined on the factors") {
  std::vector<double> values(128, 1e-10);
  // Eight near to each other, the square of 2e-6 near the rounding of the largest.
  for (size_t i = 0; i < 16; ++i) values[i] = i < 8 ? std::pow(5, -static_cast<double>(i)) : 2e-6 * (1 - 0.03 * static_cast<double>(i - 8));
  const Owned owned = square_of(values);
  CHECK(quick(owned.sum, 16).has_value());
  judge(owned.sum, 16, 1e-12);
}

CASE("large cores that the quick way cannot certify are done completely: graded, of low rank") {
  const int64_t n = 128;
  std::vector<double> graded(static_cast<size_t>(n)), low(static_cast<size_t>(n), 0.0);
  for (size_t i = 0; i < graded.size(); ++i)
    graded[i] = std::pow(0.2, static_cast<double>(i));  // the 16th is 3e-11 of the first, its square below rounding
  for (size_t i = 0; i < 5; ++i) low[i] = 5 - static_cast<double>(i);
  for (const std::vector<double>& values : {graded, low}) {
    const Owned owned = square_of(values);
    judge(owned.sum, 16, 1e-12);
  }
}

CASE("threads change no bit of a norm, a nearest pair or singular values") {
  Owned owned(300, 200);
  for (uint64_t k = 0; k < 8; ++k) owned.add(16, 0.1, k, 0.3);
  const Leading alone = leading(owned.sum, 16);
  const double whole = frobenius(owned.sum);
  for (int threads : {2, 3}) {
    ThreadPool pool(threads);
    const Leading found = leading(owned.sum, 16, &pool);
    CHECK(same(found.left, alone.left) && same(found.right, alone.right) && found.values == alone.values);
    CHECK(found.norm == alone.norm && found.rest == alone.rest && frobenius(owned.sum, &pool) == whole);
    CHECK(singular_values(owned.sum, &pool) == singular_values(owned.sum));
  }
}

CASE("canary: a term with the wrong sign is called wrong") {
  Owned owned(24, 20), other(24, 20);
  owned.add(4, 1, 1), owned.add(4, 1, 2), other.add(4, 1, 1), other.add(4, -1, 2);
  CHECK(!(std::fabs(frobenius(other.sum) - norm(plain(owned.sum).view())) <= 1e-12));
}

TEST_MAIN()
