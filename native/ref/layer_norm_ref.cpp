#include "ref/layer_norm_ref.h"

#include <cmath>

namespace fedlora::ref {

template <class Real>
void layer_norm_forward(int64_t M, int64_t K, Real* x, const Real* delta, const Real* weight, const Real* bias, double eps, Real* y,
                        Real* moments) {
  for (int64_t m = 0; m < M; ++m) {
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < K; ++k) {
      Real& value = x[m * K + k];
      if (delta) value += delta[m * K + k];
      sum += static_cast<double>(value);
    }
    const double mean = sum / static_cast<double>(K);
    for (int64_t k = 0; k < K; ++k) squares += (x[m * K + k] - mean) * (x[m * K + k] - mean);
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(K) + eps);
    moments[2 * m] = static_cast<Real>(mean);
    moments[2 * m + 1] = static_cast<Real>(r);
    for (int64_t k = 0; k < K; ++k) y[m * K + k] = static_cast<Real>((x[m * K + k] - mean) * r * weight[k] + bias[k]);
  }
}

template <class Real>
void layer_norm_backward(int64_t M, int64_t K, const Real* d_y, const Real* x, const Real* moments, const Real* weight, Real* d_x) {
  for (int64_t m = 0; m < M; ++m) {
    const double mean = moments[2 * m], r = moments[2 * m + 1];
    double sum = 0, projection = 0;  // mean(g), mean(g ∘ x̂)
    for (int64_t k = 0; k < K; ++k) {
      const double g = static_cast<double>(weight[k]) * d_y[m * K + k];
      sum += g;
      projection += g * (x[m * K + k] - mean) * r;
    }
    sum /= static_cast<double>(K), projection /= static_cast<double>(K);
    for (int64_t k = 0; k < K; ++k) {
      const double g = static_cast<double>(weight[k]) * d_y[m * K + k];
      d_x[m * K + k] += static_cast<Real>(r * (g - sum - (x[m * K + k] - mean) * r * projection));
    }
  }
}

template void layer_norm_forward(int64_t, int64_t, float*, const float*, const float*, const float*, double, float*, float*);
template void layer_norm_forward(int64_t, int64_t, double*, const double*, const double*, const double*, double, double*, double*);
template void layer_norm_backward(int64_t, int64_t, const float*, const float*, const float*, const float*, float*);
template void layer_norm_backward(int64_t, int64_t, const double*, const double*, const double*, const double*, double*);

}  // namespace fedlora::ref
