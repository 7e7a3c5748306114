#include "factors/stacks.h"

#include <algorithm>
#include <cmath>

namespace fedlora::factors {

namespace {
/// The power of two that brings the largest magnitude into [1, 2), 1 for zeros.
double unit_of(double largest) { return largest > 0 ? std::ldexp(1, std::ilogb(largest)) : 1; }

double largest(const Values& values, int64_t count) {
  return values.visit([&](const auto* x) {
    constexpr int64_t lanes = 16;  // maxima of their own, which do not wait for each other
    std::remove_cvref_t<decltype(*x)> most[lanes] = {};
    const int64_t whole = count / lanes * lanes;
    for (int64_t i = 0; i < whole; i += lanes)
      for (int64_t lane = 0; lane < lanes; ++lane) most[lane] = std::max(most[lane], std::fabs(x[i + lane]));
    for (int64_t i = whole; i < count; ++i) most[0] = std::max(most[0], std::fabs(x[i]));
    return static_cast<double>(*std::max_element(most, most + lanes));
  });
}

/// A term's B, column by column, and its A.
void copy_term(const FactoredSum& sum, const Term& term, double unit_b, double unit_a, View b, View a) {
  term.b.visit([&](const auto* from) {
    for (int64_t block = 0; block < sum.out; block += 64)  // rows of a block stay in the cache while its columns are written
      for (int64_t r = 0; r < term.rank; ++r) {
        const double weight = term.weight(r) / unit_b;
        for (int64_t i = block; i < std::min(block + 64, sum.out); ++i) b.row(r)[i] = static_cast<double>(from[i * term.rank + r]) * weight;
      }
  });
  term.a.visit([&](const auto* from) {
    const double weight = 1 / unit_a;
    for (int64_t i = 0; i < term.rank * sum.in; ++i) a.data[i] = static_cast<double>(from[i]) * weight;
  });
}
}  // namespace

Stacks stack(const FactoredSum& sum, ThreadPool* pool) {
  double most_b = 0, most_a = 0;
  for (const Term& term : sum.terms) {
    if (term.scale == 0) continue;
    double weight = 0;
    for (int64_t r = 0; r < term.rank; ++r) weight = std::max(weight, std::fabs(term.weight(r)));
    most_b = std::max(most_b, weight * largest(term.b, sum.out * term.rank));
    most_a = std::max(most_a, largest(term.a, term.rank * sum.in));
  }
  const double unit_b = unit_of(most_b), unit_a = unit_of(most_a);
  Stacks stacks{Matrix(sum.rank(), sum.out), Matrix(sum.rank(), sum.in), unit_b * unit_a};
  std::vector<int64_t> firsts;
  for (int64_t first = 0; const Term& term : sum.terms) {
    firsts.push_back(first);
    if (term.scale != 0) first += term.rank;
  }
  run_tasks(pool, static_cast<int64_t>(sum.terms.size()), [&](int64_t index, int) {
    const Term& term = sum.terms[static_cast<size_t>(index)];
    if (term.scale == 0) return;
    const int64_t first = firsts[static_cast<size_t>(index)];
    copy_term(sum, term, unit_b, unit_a, stacks.b.view().block(first, 0, term.rank, sum.out),
              stacks.a.view().block(first, 0, term.rank, sum.in));
  });
  return stacks;
}

double norm(const Matrix& x) { return x.rows() == 0 ? 0 : std::sqrt(factor_kernels().dot(x.row(0), x.row(0), x.rows() * x.cols())); }

}  // namespace fedlora::factors
