// Sums over pairs of vectors and order statistics beside plain loops and sorts; ties, threads and instruction sets.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "draws.h"
#include "harness.h"
#include "vectors/finite.h"
#include "vectors/order.h"
#include "vectors/pairs.h"

using namespace fedlora;

namespace {
template <class T>
using Rows = std::vector<std::vector<T>>;

template <class T>
Rows<T> draw(size_t n, size_t length, uint64_t seed) {
  std::mt19937_64 random(seed);
  Rows<T> rows(n, std::vector<T>(length));
  for (auto& row : rows)
    for (T& value : row) value = static_cast<T>(draws::normal(random));
  return rows;
}

template <class T>
std::vector<std::span<const T>> spans(const Rows<T>& rows) {
  return {rows.begin(), rows.end()};
}

template <class T>
std::vector<T> between(const Rows<T>& rows, size_t begin, size_t end, ThreadPool* pool = nullptr) {
  std::vector<T> out(rows[0].size());
  mean_between<T>(spans(rows), begin, end, out, pool);
  return out;
}

template <class T>
std::vector<T> near(const Rows<T>& rows, size_t keep, ThreadPool* pool = nullptr) {
  std::vector<T> out(rows[0].size());
  mean_near_median<T>(spans(rows), keep, out, pool);
  return out;
}

template <class T>
std::vector<double> column(const Rows<T>& rows, size_t i) {
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(static_cast<double>(row[i]));
  return values;
}

/// By the definition: the values in order of (distance to the median, place in the list).
double plain_near(std::vector<double> values, size_t keep) {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size();
  const double median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  std::stable_sort(values.begin(), values.end(), [&](double a, double b) { return std::abs(a - median) < std::abs(b - median); });
  double sum = 0;
  for (size_t k = 0; k < keep; ++k) sum += values[k];
  return sum / static_cast<double>(keep);
}

template <class T>
size_t wrong_pairs(const Rows<T>& rows, const std::vector<T>& centre, const std::vector<double>& got, bool distances) {
  const size_t n = rows.size();
  size_t wrong = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      long double sum = 0, size = 0;
      for (size_t e = 0; e < rows[0].size(); ++e) {
        const long double c = centre.empty() ? 0.0L : static_cast<long double>(centre[e]);
        const long double a = rows[i][e] - c, b = rows[j][e] - c, term = distances ? (a - b) * (a - b) : a * b;
        sum += term, size += std::abs(term);
      }
      // Rounding of a term and of sums of at most 64 + 16 additions in a chain, half an ulp each.
      wrong += !(std::abs(got[i * n + j] - static_cast<double>(sum)) <= 100 * 0x1p-53 * static_cast<double>(size));
    }
  return wrong;
}
}  // namespace

template <class T>
void check_pairs() {
  for (size_t n : {1, 2, 5, 9})
    for (size_t length : {0, 1, 511, 513, 20003}) {
      const Rows<T> rows = draw<T>(n, length, n + length);
      const std::vector<T> centre = draw<T>(1, length, 99)[0];
      std::vector<double> d(n * n), p(n * n), c(n * n), threaded(n * n);
      ThreadPool pool(3);
      squared_distances<T>(spans(rows), d);
      products<T>(spans(rows), {}, p);
      products<T>(spans(rows), centre, c);
      CHECK(wrong_pairs<T>(rows, {}, d, true) == 0);
      CHECK(wrong_pairs<T>(rows, {}, p, false) == 0);
      CHECK(wrong_pairs<T>(rows, centre, c, false) == 0);
      for (size_t i = 0; i < n; ++i) CHECK(d[i * n + i] == 0);
      if (length > 0) CHECK(wrong_pairs<T>(rows, {}, c, false) > 0);  // canary: the centre is seen
      squared_distances<T>(spans(rows), threaded, &pool);
      CHECK(threaded == d);
      products<T>(spans(rows), centre, threaded, &pool);
      CHECK(threaded == c);
    }
}

CASE("pairs: squared distances and products, about a centre and without") {
  check_pairs<float>();
  check_pairs<double>();
}

CASE("pairs: near vectors far from the origin keep their distance") {
  Rows<double> rows = draw<double>(3, 1000, 5);
  for (auto& row : rows)
    for (double& x : row) x = 1e8 + x;
  std::vector<double> d(9);
  squared_distances<double>(spans(rows), d);
  CHECK(wrong_pairs<double>(rows, {}, d, true) == 0);
}

template <class T>
void check_order() {
  for (size_t n : {1, 2, 3, 4, 5, 7, 8, 11, 16, 20, 33})
    for (size_t length : {1, 256, 1003}) {
      const Rows<T> rows = draw<T>(n, length, 7 * n + length);
      const size_t trim = (n - 1) / 2, keep = n > 2 ? n - 2 : n;
      const std::vector<T> median = between(rows, trim, n - trim), all = between(rows, 0, n), close = near(rows, keep);
      size_t wrong = 0;
      for (size_t i = 0; i < length; ++i) {
        std::vector<double> values = column(rows, i);
        wrong += close[i] != static_cast<T>(plain_near(values, keep)) &&
                 std::abs(static_cast<double>(close[i]) - plain_near(values, keep)) > 4e-16 * 33;
        std::sort(values.begin(), values.end());
        double sum = 0;
        for (double x : values) sum += x;
        wrong += all[i] != static_cast<T>(sum / static_cast<double>(n));
        wrong += median[i] != static_cast<T>(n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2);
      }
      CHECK(wrong == 0);
      ThreadPool pool(3);
      CHECK(between(rows, trim, n - trim, &pool) == median);
      CHECK(near(rows, keep, &pool) == close);
      Rows<T> turned(rows.rbegin(), rows.rend());
      CHECK(between(turned, trim, n - trim) == median);
      CHECK(near(turned, keep) == close);
      if (n > 3) CHECK(between(rows, trim - 1, n - trim) != median);  // canary: one value more is seen
    }
}

CASE("order statistics: medians, means of all, means near the median; the order of vectors changes no bit") {
  check_order<float>();
  check_order<double>();
}

CASE("order statistics: of two values as near to the median the vector that comes first counts") {
  const std::vector<std::vector<double>> cases = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {1, 1, 0, -1, -1, 2, -2}, {5, -5, 5, -5, 0},
                                                  {2, 2, 2, 2, 2}, {-1, 1, 1, -1},  {0, 0, 1, 1, 2, 2, 3, 3}};
  for (const auto& values : cases)
    for (size_t keep = 1; keep <= values.size(); ++keep) {
      Rows<float> rows;
      for (double x : values) rows.push_back({static_cast<float>(x), static_cast<float>(-x)});
      const std::vector<float> got = near(rows, keep);
      CHECK(got[0] == static_cast<float>(plain_near(column(rows, 0), keep)));
      CHECK(got[1] == static_cast<float>(plain_near(column(rows, 1), keep)));
    }
  CHECK(near<float>({{0}, {1}, {2}, {3}, {4}}, 2)[0] == 1.5f);
  CHECK(near<float>({{4}, {3}, {2}, {1}, {0}}, 2)[0] == 2.5f);  // canary: the other order, the other value
}

CASE("finite or not") {
  std::vector<float> values = draw<float>(1, 5000, 3)[0];
  CHECK(first_nonfinite<float>(values) == -1);
  CHECK(first_nonfinite<float>({}) == -1);
  values[7] = std::numeric_limits<float>::max(), values[8] = -values[7], values[9] = std::numeric_limits<float>::denorm_min();
  CHECK(first_nonfinite<float>(values) == -1);
  for (size_t place : {size_t{4999}, size_t{1024}, size_t{1023}, size_t{0}}) {
    values[place] = place % 2 == 1 ? std::nanf("") : -std::numeric_limits<float>::infinity();
    CHECK(first_nonfinite<float>(values) == static_cast<int64_t>(place));
  }
}

CASE("what is refused") {
  const Rows<float> rows = {{1, 2}, {3, 4}}, uneven = {{1, 2}, {3}};
  std::vector<float> out(2);
  std::vector<double> sums(4);
  CHECK_THROWS(mean_between<float>(spans(rows), 1, 1, out), E_ARGUMENT);
  CHECK_THROWS(mean_between<float>(spans(rows), 0, 3, out), E_ARGUMENT);
  CHECK_THROWS(mean_near_median<float>(spans(rows), 0, out), E_ARGUMENT);
  CHECK_THROWS(mean_near_median<float>(spans(rows), 3, out), E_ARGUMENT);
  CHECK_THROWS(mean_between<float>(spans(uneven), 0, 1, out), E_SHAPE);
  CHECK_THROWS(squared_distances<float>(spans(uneven), sums), E_SHAPE);
  CHECK_THROWS(squared_distances<float>(spans(rows), std::span(sums).first(3)), E_SHAPE);
  CHECK_THROWS(products<float>(spans(rows), std::span<const float>(out).first(1), sums), E_SHAPE);
}

TEST_MAIN()
