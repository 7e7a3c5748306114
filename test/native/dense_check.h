/// Matrices for the tests of native/factors, and plain loops to judge by.
#pragma once
#include <cmath>
#include <limits>
#include <array>
#include <random>
#include <vector>

#include "draws.h"
#include "factors/multiply.h"

namespace dense_check {

using fedlora::factors::ConstView;
using fedlora::factors::Matrix;

inline constexpr double eps = std::numeric_limits<double>::epsilon();

inline Matrix normal(int64_t rows, int64_t cols, uint64_t seed) {
  std::mt19937_64 random(seed);
  Matrix x(rows, cols);
  for (int64_t i = 0; i < rows * cols; ++i) x.row(0)[i] = draws::normal(random);
  return x;
}

inline Matrix copied(ConstView x) {
  Matrix y(x.rows, x.cols);
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) y(i, j) = x(i, j);
  return y;
}

/// By the definition, in extended precision.
inline Matrix plain_product(ConstView a, ConstView b) {
  Matrix c(a.rows, b.cols);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < b.cols; ++j) {
      long double sum = 0;
      for (int64_t p = 0; p < a.cols; ++p) sum += static_cast<long double>(a(i, p)) * b(p, j);
      c(i, j) = static_cast<double>(sum);
    }
  return c;
}

inline double norm(ConstView x) {
  long double squares = 0;
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.cols; ++j) squares += static_cast<long double>(x(i, j)) * x(i, j);
  return static_cast<double>(std::sqrt(squares));
}

/// ‖a − b‖, NaN for other shapes.
inline double distance(ConstView a, ConstView b) {
  if (a.rows != b.rows || a.cols != b.cols) return std::numeric_limits<double>::quiet_NaN();
  Matrix d = copied(a);
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < a.cols; ++j) d(i, j) -= b(i, j);
  return norm(d.view());
}

/// ‖x xᵀ − I‖: how far rows are from orthonormal.
inline double orthonormality(ConstView x) {
  Matrix g = plain_product(x, x.transposed());
  for (int64_t i = 0; i < g.rows(); ++i) g(i, i) -= 1;
  return norm(g.view());
}

inline bool same(const Matrix& a, const Matrix& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (int64_t i = 0; i < a.rows() * a.cols(); ++i)
    if (!(a.row(0)[i] == b.row(0)[i])) return false;
  return true;
}

/// Orthonormal rows [count, n], by Gram and Schmidt, twice.
inline Matrix orthonormal(int64_t count, int64_t n, uint64_t seed) {
  Matrix q = normal(count, n, seed);
  for (int64_t i = 0; i < count; ++i)
    for (int round = 0; round < 2; ++round) {
      for (int64_t p = 0; p < i; ++p) {
        double along = 0;
        for (int64_t j = 0; j < n; ++j) along += q(p, j) * q(i, j);
        for (int64_t j = 0; j < n; ++j) q(i, j) -= along * q(p, j);
      }
      double squares = 0;
      for (int64_t j = 0; j < n; ++j) squares += q(i, j) * q(i, j);
      for (int64_t j = 0; j < n; ++j) q(i, j) /= std::sqrt(squares);
    }
  return q;
}

/// Σ values[i] · left_i ⊗ right_i with random orthonormal left [·, m] and right [·, n].
inline Matrix with_values(const std::vector<double>& values, int64_t m, int64_t n, uint64_t seed) {
  const int64_t count = static_cast<int64_t>(values.size());
  Matrix left = orthonormal(count, m, seed);
  const Matrix right = orthonormal(count, n, seed + 1);
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < m; ++j) left(i, j) *= values[static_cast<size_t>(i)];
  return plain_product(left.view().transposed(), right.view());
}

}  // namespace dense_check
