// The dense algebra beneath the LoRA-aware rules: products, QR, singular values, leading eigenvectors. Bounds are rounding: eps times the
// operations that meet in a number, against plain loops in extended precision.
#include <algorithm>

#include "dense_check.h"
#include "factors/cholesky.h"
#include "factors/dominant.h"
#include "factors/eigenvectors.h"
#include "factors/jacobi.h"
#include "factors/qr.h"
#include "factors/tridiagonal.h"
#include "harness.h"

using namespace fedlora;
using namespace fedlora::factors;
using namespace dense_check;

CASE("a product is that of plain loops, at every instruction set, at the edges of tiles and blocks, for any strides") {
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
    const FactorKernels& kernels = factor_kernels(static_cast<Isa>(level));
    CHECK(kernels.tile_rows * kernels.tile_cols <= most_tile);
    for (const auto& [m, k, n] :
         std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {7, 5, 23}, {8, 256, 24}, {97, 257, 25}, {100, 3, 1540}, {3, 600, 2}}) {
      const Matrix a = normal(m, k, 1), b = normal(k, n, 2), start = normal(m, n, 3);
      const Matrix at = copied(a.view().transposed()), bt = copied(b.view().transposed());
      Matrix want = plain_product(a.view(), b.view());
      for (int64_t i = 0; i < m * n; ++i) want.row(0)[i] = start.row(0)[i] - 2 * want.row(0)[i];
      for (int form = 0; form < 8; ++form) {
        Matrix c = copied(form & 4 ? start.view().transposed() : start.view());
        const View place = form & 4 ? c.view().transposed() : c.view();
        multiply_add(-2, form & 1 ? at.view().transposed() : a.view(), form & 2 ? bt.view().transposed() : b.view(), place, nullptr,
                     kernels);
        CHECK_LE(distance(place, want.view()), eps * static_cast<double>(k + 2) * std::sqrt(static_cast<double>(m * n)) * 4);
      }
    }
  }
}

CASE("canary: a product that leaves the last column out is called wrong") {
  const Matrix a = normal(9, 30, 1), b = normal(30, 25, 2);
  Matrix c(9, 25);
  multiply_add(1, a.view(), b.view().block(0, 0, 30, 24), c.view().block(0, 0, 9, 24));
  CHECK(!(distance(c.view(), plain_product(a.view(), b.view()).view()) <= eps * 31 * 30));
}

CASE("dot, add_scaled and rotate are those of plain loops, at every instruction set and length, and touch nothing behind") {
  for (int level = 0; level <= static_cast<int>(detect_isa()); ++level) {
    const FactorKernels& kernels = factor_kernels(static_cast<Isa>(level));
    for (int64_t n = 0; n <= 70; ++n) {
      const Matrix x = normal(1, n + 1, 61), y = normal(1, n + 1, 62);
      Matrix added = copied(y.view()), first = copied(x.view()), second = copied(y.view());
      long double sum = 0;
      kernels.add_scaled(added.row(0), x.row(0), n, -1.5);
      kernels.rotate(first.row(0), second.row(0), n, 0.8, 0.6);
      for (int64_t i = 0; i < n; ++i) {
        sum += static_cast<long double>(x(0, i)) * y(0, i);
        CHECK_LE(std::fabs(added(0, i) - (y(0, i) - 1.5 * x(0, i))), 16 * eps);
        CHECK_LE(std::fabs(first(0, i) - (0.8 * x(0, i) - 0.6 * y(0, i))), 16 * eps);
        CHECK_LE(std::fabs(second(0, i) - (0.6 * x(0, i) + 0.8 * y(0, i))), 16 * eps);
      }
      CHECK_LE(std::fabs(kernels.dot(x.row(0), y.row(0), n) - static_cast<double>(sum)), 8 * eps * static_cast<double>(n + 1));
      CHECK(added(0, n) == y(0, n) && first(0, n) == x(0, n) && second(0, n) == y(0, n));
    }
  }
}

CASE("a Gram matrix is the product with the transpose, with equal halves") {
  for (int64_t n : {1, 30, 97, 200, 800}) {
    const Matrix x = normal(n, 70, 5), g = gram(x.view());
    CHECK_LE(distance(g.view(), plain_product(x.view(), x.view().transposed()).view()), eps * 72 * 8 * static_cast<double>(n));
    CHECK(same(g, copied(g.view().transposed())));
  }
}

CASE(
    "a Cholesky factor is triangular and its square is what was given: definite, graded rows, of low rank, with zero rows, graded values") {
  for (int64_t n : {1, 2, 31, 32, 33, 100, 200})
    for (int kind = 0; kind < 5; ++kind) {
      Matrix x = normal(n, kind == 2 ? 3 : 2 * n, 71);
      if (kind == 4) {
        std::vector<double> values(static_cast<size_t>(n));
        for (size_t i = 0; i < values.size(); ++i) values[i] = std::pow(0.4, static_cast<double>(i));
        x = with_values(values, n, n, 72);
      }
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < x.cols(); ++j)
          if (kind == 1)
            x(i, j) = std::ldexp(x(i, j), static_cast<int>(-i));
          else if (kind == 3 && i % 3 == 0)
            x(i, j) = 0;
      const Matrix g = gram(x.view()), u = cholesky(g);
      double most = 0;
      for (int64_t i = 0; i < n; ++i) {
        most = std::max(most, g(i, i));
        for (int64_t j = 0; j < i; ++j) CHECK(u(i, j) == 0);
        CHECK(u(i, i) > 0);
      }
      const double rounding =
          kind == 0 ? 8 : 10 * static_cast<double>(n);  // the raised diagonal: 8 · n · eps · most, rarely more than n · eps
      CHECK_LE(distance(plain_product(u.view().transposed(), u.view()).view(), g.view()),
               eps * rounding * std::sqrt(static_cast<double>(n)) * norm(g.view()) + 1e-300);
    }
}

namespace {
/// M = Lᵀ S with the given singular values, by factors that are neither orthogonal nor of equal sizes.
struct Pair {
  Matrix longer, shorter;
  double square = 0;
  Pair(const std::vector<double>& values, int64_t across, int64_t along, uint64_t seed, double worst = 7) {
    const int64_t n = static_cast<int64_t>(values.size());
    std::vector<double> spread(values.size());
    for (size_t i = 0; i < spread.size(); ++i) spread[i] = 1 + (worst - 1) / 6 * static_cast<double>(i % 7);
    const Matrix turn = with_values(spread, n, n, seed);  // (C⁻ᵀ L)ᵀ (C S): C = X D Yᵀ, its inverse X D⁻¹ Yᵀ
    for (double& value : spread) value = 1 / value;
    const Matrix inverse = with_values(spread, n, n, seed);
    Matrix left = orthonormal(n, along, seed + 7);
    const Matrix right = orthonormal(n, across, seed + 8);
    for (int64_t i = 0; i < n; ++i) {
      square += values[static_cast<size_t>(i)] * values[static_cast<size_t>(i)];
      for (int64_t j = 0; j < along; ++j) left(i, j) *= values[static_cast<size_t>(i)];
    }
    longer = plain_product(inverse.view(), left.view());
    shorter = plain_product(turn.view(), right.view());
  }
  std::optional<Matrix> dominant(int64_t rank, ThreadPool* pool = nullptr) const {
    return factors::dominant(gram(longer.view()), gram(shorter.view()), square, rank, 1e-12, pool);
  }
};
}  // namespace

CASE("a Cholesky factor of what is not finite is not a number") {
  Matrix g(3, 3);
  g(0, 0) = g(2, 2) = 1, g(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(cholesky(g)(0, 0)));
}

CASE("dominant directions: of values that stand out, equal ones too") {
  for (int64_t rank : {1, 4, 16}) {
    std::vector<double> steep(100), step(100, 0.02), just(100, 0.0), one(100, 0.0), slow(100, 0.0), fourth(100, 0.6);
    for (size_t i = 0; i < 100; ++i) steep[i] = std::pow(0.25, static_cast<double>(i));  // the rest is a quarter of the last
    for (size_t i = 0; i < static_cast<size_t>(rank); ++i) step[i] = 5, just[i] = one[i] = slow[i] = fourth[i] = 2;
    // What the condition still allows: eight or twenty that share the rest, one that takes it all, which is only told apart with vectors to
    // spare.
    for (size_t i = 0; i < 8; ++i) just[static_cast<size_t>(rank) + i] = 2 / std::sqrt(8.5);
    one[static_cast<size_t>(rank)] = 2 * std::sqrt(0.95);
    for (size_t i = 0; i < 20; ++i) slow[static_cast<size_t>(rank) + i] = 2 / std::sqrt(20.5);
    for (const std::vector<double>& values : {rank == 16 ? step : steep, step, just, one, slow, fourth}) {
      const Pair pair(values, 110, 130, 81);
      const auto x = pair.dominant(rank);
      CHECK(x.has_value());
      if (!x) continue;
      const Matrix v = product(x->view(), pair.shorter.view());
      const Matrix mv = product(product(v.view(), pair.shorter.view().transposed()).view(), pair.longer.view());
      const Matrix back = product(product(mv.view(), pair.longer.view().transposed()).view(), pair.shorter.view());
      CHECK_LE(orthonormality(v.view()), 1e-11);
      for (int64_t i = 0; i < rank; ++i) {
        const double value = values[static_cast<size_t>(i)];
        double rest = 0;
        for (int64_t j = 0; j < v.cols(); ++j) rest += std::pow(back(i, j) - value * value * v(i, j), 2);
        CHECK_LE(std::sqrt(rest), 1e-11 * values[0] * values[0]);  // 1e-12 of the largest square is asked for
      }
    }
  }
}

CASE("dominant directions: as near as factors of any condition let them come") {
  std::vector<double> values(100, 0.02);
  for (size_t i = 0; i < 16; ++i) values[i] = 5;
  for (double worst : {1e2, 1e3, 1e4}) CHECK(Pair(values, 110, 130, 84, worst).dominant(16).has_value());
  std::vector<double> deep(100, 1e-8);  // the fourth power of the 16th is lost in rounding, its square is not
  for (size_t i = 0; i < 16; ++i) deep[i] = std::pow(0.46, static_cast<double>(i));
  CHECK(Pair(deep, 110, 130, 85).dominant(16).has_value());
}

CASE("dominant directions: none of values that the rest could hide, or that rounding hides") {
  std::vector<double> flat(100, 1.0), crowd(100, 0.4), low(100, 0.0), near(100, 0.0), uneven(100, 0.4);
  for (size_t i = 0; i < 16; ++i) crowd[i] = 1;               // a gap, and 84 · 0.4⁴ > 1
  for (size_t i = 0; i < 5; ++i) low[i] = 1;                  // fewer than are wanted
  for (size_t i = 0; i < 18; ++i) near[i] = 1;                // two more than are wanted: √2 > 1
  for (size_t i = 0; i < 16; ++i) uneven[i] = i < 4 ? 5 : 1;  // 84 · 0.4⁴ > 1, the last, if not the first
  for (const std::vector<double>& values : {flat, crowd, low, near, uneven}) CHECK(!Pair(values, 110, 130, 82).dominant(16));
}

CASE("threads change no bit of a product, a QR, or an eigenvector") {
  const Matrix a = normal(300, 500, 1), b = normal(500, 130, 2);
  const Matrix alone = product(a.view(), b.view()), square = gram(a.view());
  const Matrix r = TallQr(copied(a.view())).r(), vectors = leading_eigenvectors(copied(square.view()), 16);
  const Matrix thin = product(b.view().block(0, 0, 16, 130), normal(130, 1600, 3).view()), factor = cholesky(gram(b.view().transposed()));
  std::vector<double> values(100, 0.01);
  for (size_t i = 0; i < 16; ++i) values[i] = 3;
  const Pair pair(values, 110, 130, 83);
  const Matrix directions = *pair.dominant(16);
  for (int threads : {2, 3}) {
    ThreadPool pool(threads);
    CHECK(same(thin, product(b.view().block(0, 0, 16, 130), normal(130, 1600, 3).view(), &pool)));
    CHECK(same(factor, cholesky(gram(b.view().transposed()), &pool)));
    CHECK(same(directions, *pair.dominant(16, &pool)));
    CHECK(same(alone, product(a.view(), b.view(), &pool)));
    CHECK(same(square, gram(a.view(), &pool)));
    CHECK(same(r, TallQr(copied(a.view()), &pool).r()));
    CHECK(same(vectors, leading_eigenvectors(copied(square.view()), 16, &pool)));
  }
}

namespace {
/// Columns as rows [n, m] of awkward kinds.
std::vector<Matrix> awkward(int64_t n, int64_t m) {
  std::vector<Matrix> all;
  all.push_back(normal(n, m, 11));
  all.push_back(Matrix(n, m));  // zeros
  all.push_back(copied(normal(n, m, 12).view()));
  for (int64_t i = 1; i < n; i += 2) std::copy(all[2].row(i - 1), all[2].row(i - 1) + m, all[2].row(i));  // pairs of equal columns
  all.push_back(normal(n, m, 13));
  for (int64_t i = 0; i < n; ++i)  // graded
    for (int64_t j = 0; j < m; ++j) all[3](i, j) *= std::ldexp(1, static_cast<int>(-2 * i));
  all.push_back(normal(n, m, 14));
  for (int64_t j = 0; j < m; ++j) all[4](n / 2, j) = 0;  // a zero column
  all.push_back(normal(n, m, 15));                       // nearly the columns of the identity: the sign of a reflection must not cancel
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < m; ++j) all[5](i, j) = 1e-9 * all[5](i, j) + (i == j ? 1 : 0);
  return all;
}
}  // namespace

CASE("QR: orthonormal, triangular, and the product is what was given") {
  for (const auto& [n, m] : std::vector<std::array<int64_t, 2>>{{1, 1}, {1, 9}, {5, 5}, {31, 40}, {32, 32}, {33, 100}, {70, 300}})
    for (const Matrix& x : awkward(n, m)) {
      const TallQr qr(copied(x.view()));
      const Matrix r = qr.r();
      Matrix one(n, n);
      for (int64_t i = 0; i < n; ++i) one(i, i) = 1;
      const Matrix q = qr.expand(one.view());
      const double bound = eps * 8 * static_cast<double>(n) * std::sqrt(static_cast<double>(m));
      CHECK_LE(orthonormality(q.view()), bound);
      CHECK_LE(distance(plain_product(r.view().transposed(), q.view()).view(), x.view()), bound * norm(x.view()));
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < i; ++j) CHECK(r(i, j) == 0);
    }
}

CASE("singular values: known ones, repeated, graded and zero; the triplets make up what was given") {
  const std::vector<std::vector<double>> spectra = {
      {3}, {0}, {2, 2, 2}, {5, 1, 1, 1e-3, 0}, {1, 1e-5, 1e-10, 1e-15}, {7, 7, 1e-8, 1e-8, 0, 0}};
  for (const std::vector<double>& values : spectra)
    for (int64_t taller : {0, 6}) {
      const int64_t n = static_cast<int64_t>(values.size()), m = n + taller;
      const Matrix x = with_values(values, m, n, 21);
      const Svd svd = jacobi_svd(x.view());
      const double bound = eps * 40 * static_cast<double>(m) * std::max(values[0], 1.0);
      for (int64_t i = 0; i < n; ++i) {
        CHECK_LE(std::fabs(svd.values[static_cast<size_t>(i)] - values[static_cast<size_t>(i)]), bound);
        if (i > 0) CHECK(svd.values[static_cast<size_t>(i)] <= svd.values[static_cast<size_t>(i) - 1]);
      }
      CHECK_LE(orthonormality(svd.right.view()), eps * 40 * static_cast<double>(n));
      Matrix scaled = copied(svd.left.view());
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < m; ++j) scaled(i, j) *= svd.values[static_cast<size_t>(i)];
      CHECK_LE(distance(plain_product(scaled.view().transposed(), svd.right.view()).view(), x.view()), bound);
    }
}

CASE("singular values of graded columns are exact in the small ones too") {
  // Columns of lengths 1 … 2^-60, near to orthogonal: Demmel and Veselić's bound is relative for each value.
  const int64_t n = 7, m = 12;
  const Matrix q = orthonormal(n, m, 31);
  Matrix x(m, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < m; ++j) x(j, i) = std::ldexp(q(i, j), static_cast<int>(-10 * i));
  const Svd svd = jacobi_svd(x.view());
  for (int64_t i = 0; i < n; ++i)
    CHECK_LE(std::fabs(std::ldexp(svd.values[static_cast<size_t>(i)], static_cast<int>(10 * i)) - 1), eps * 100);
}

CASE("singular vectors of columns that are nearly orthogonal are orthogonal to rounding") {
  Matrix x = copied(orthonormal(9, 14, 33).view().transposed());
  const Matrix noise = normal(14, 9, 34);
  for (int64_t i = 0; i < 14 * 9; ++i) x.row(0)[i] += 1e-10 * noise.row(0)[i];
  CHECK_LE(orthonormality(jacobi_svd(x.view()).left.view()), eps * 40 * 9);
}

CASE("leading eigenvectors: of simple, repeated, zero and negative eigenvalues, whole or in blocks") {
  const auto symmetric = [](const std::vector<double>& values, uint64_t seed) {
    const int64_t n = static_cast<int64_t>(values.size());
    const Matrix q = orthonormal(n, n, seed);
    Matrix scaled = copied(q.view());
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) scaled(i, j) *= values[static_cast<size_t>(i)];
    return plain_product(q.view().transposed(), scaled.view());
  };
  std::vector<double> many(100), repeated(70, 2.0), low(65, 0.0), tight(80);
  for (size_t i = 0; i < many.size(); ++i) many[i] = 100 - static_cast<double>(i) * 1.5;  // negative ones too
  for (size_t i = 40; i < repeated.size(); ++i) repeated[i] = 1;
  for (size_t i = 0; i < 3; ++i) low[i] = 3 - static_cast<double>(i);
  for (size_t i = 0; i < tight.size(); ++i) tight[i] = 1 + 1e-13 * static_cast<double>(tight.size() - i);
  std::vector<std::pair<Matrix, std::vector<double>>> all;
  for (const auto& values : {many, repeated, low, tight, std::vector<double>{4}, std::vector<double>{2, -1}, std::vector<double>{0, 0, 0}})
    all.emplace_back(symmetric(values, 41), values);
  Matrix blocks(90, 90);  // a diagonal matrix: the tridiagonal one falls apart
  std::vector<double> diagonal(90);
  for (int64_t i = 0; i < 90; ++i) blocks(i, i) = diagonal[static_cast<size_t>(i)] = 90 - static_cast<double>(i / 2);
  all.emplace_back(std::move(blocks), diagonal);
  for (const auto& [h, values] : all) {
    const int64_t n = h.rows(), rank = std::min<int64_t>(16, n);
    const double bound = eps * 20 * static_cast<double>(n) * std::max(std::fabs(values[0]), 1e-300);
    const Matrix v = leading_eigenvectors(copied(h.view()), rank);
    CHECK_LE(orthonormality(v.view()), eps * 20 * static_cast<double>(n));
    const Matrix hv = plain_product(v.view(), h.view());
    for (int64_t k = 0; k < rank; ++k) {
      double along = 0, rest = 0;
      for (int64_t i = 0; i < n; ++i) along += hv(k, i) * v(k, i);
      CHECK_LE(std::fabs(along - values[static_cast<size_t>(k)]), bound);
      for (int64_t i = 0; i < n; ++i) rest += std::pow(hv(k, i) - along * v(k, i), 2);
      CHECK_LE(std::sqrt(rest), bound);
    }
  }
}

CASE("eigenvalues of a tridiagonal matrix: the second difference") {
  const int64_t n = 200;
  const Tridiagonal t{std::vector<double>(n, 2.0), std::vector<double>(n, -1.0)};
  const std::vector<double> values = leading_eigenvalues(t, n);
  for (int64_t k = 0; k < n; ++k)
    CHECK_LE(std::fabs(values[static_cast<size_t>(k)] - 4 * std::pow(std::cos(M_PI * static_cast<double>(k + 1) / (2 * (n + 1))), 2)),
             eps * 16);
}

CASE("eigenvalues of a tridiagonal matrix: what lies in memory behind it does not count") {
  Tridiagonal t{std::vector<double>(20, 2.0), std::vector<double>(20, -1.0)};
  const std::vector<double> values = leading_eigenvalues(t, 4);
  for (std::vector<double>* part : {&t.diagonal, &t.beside}) part->push_back(1e300), part->pop_back();
  CHECK(leading_eigenvalues(t, 4) == values);
}

TEST_MAIN()
