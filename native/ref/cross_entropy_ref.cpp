#include "ref/cross_entropy_ref.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fedlora::ref {

namespace {
template <class Real>
void logits_row(int64_t V, int64_t K, const Real* x, const Real* W, const LogitShape& shape, std::vector<double>& logits) {
  logits.resize(static_cast<size_t>(V));
  for (int64_t v = 0; v < V; ++v) {
    double sum = 0;
    for (int64_t k = 0; k < K; ++k) sum += static_cast<double>(x[k]) * W[v * K + k];
    const double z = sum / shape.divider + (shape.bias ? shape.bias[v] : 0.0f);
    logits[v] = shape.soft_cap > 0 ? shape.soft_cap * std::tanh(z / shape.soft_cap) : z;
  }
}
}  // namespace

template <class Real>
void head_logits(int64_t M, int64_t V, int64_t K, const Real* x, const Real* W, const LogitShape& shape, Real* logits) {
  std::vector<double> row;
  for (int64_t m = 0; m < M; ++m) {
    logits_row(V, K, x + m * K, W, shape, row);
    for (int64_t v = 0; v < V; ++v) logits[m * V + v] = static_cast<Real>(row[v]);
  }
}

template <class Real>
void linear_cross_entropy(int64_t M, int64_t V, int64_t K, const Real* x, const Real* W, const LogitShape& shape,
                          std::span<const int32_t> targets, double grad_scale, Real* losses, uint8_t* correct, Real* d_x) {
  std::vector<double> row;
  for (int64_t m = 0; m < M; ++m) {
    logits_row(V, K, x + m * K, W, shape, row);
    const auto largest = std::max_element(row.begin(), row.end());
    double sum = 0;
    for (double logit : row) sum += std::exp(logit - *largest);
    const double lse = *largest + std::log(sum);
    losses[m] = static_cast<Real>(lse - row[targets[m]]);
    if (correct) correct[m] = largest - row.begin() == targets[m];
    if (!d_x) continue;
    for (int64_t k = 0; k < K; ++k) {
      double value = 0;
      for (int64_t v = 0; v < V; ++v) {
        const double capped = shape.soft_cap > 0 ? row[v] / shape.soft_cap : 0;
        value += (std::exp(row[v] - lse) - (v == targets[m] ? 1.0 : 0.0)) * (1 - capped * capped) * W[v * K + k];
      }
      d_x[m * K + k] = static_cast<Real>(grad_scale * value / shape.divider);
    }
  }
}

template void head_logits(int64_t, int64_t, int64_t, const float*, const float*, const LogitShape&, float*);
template void head_logits(int64_t, int64_t, int64_t, const double*, const double*, const LogitShape&, double*);
template void linear_cross_entropy(int64_t, int64_t, int64_t, const float*, const float*, const LogitShape&, std::span<const int32_t>,
                                   double, float*, uint8_t*, float*);
template void linear_cross_entropy(int64_t, int64_t, int64_t, const double*, const double*, const LogitShape&, std::span<const int32_t>,
                                   double, double*, uint8_t*, double*);

}  // namespace fedlora::ref
