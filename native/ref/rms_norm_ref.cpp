#include "ref/rms_norm_ref.h"

#include <cmath>

namespace fedlora::ref {

template <class Real>
void rms_norm_forward(int64_t M, int64_t K, Real* x, const Real* delta, const Real* weight, double eps, Real* y, Real* rstd) {
  for (int64_t m = 0; m < M; ++m) {
    double squares = 0;
    for (int64_t k = 0; k < K; ++k) {
      Real& value = x[m * K + k];
      if (delta) value += delta[m * K + k];
      squares += static_cast<double>(value) * value;
    }
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(K) + eps);
    rstd[m] = static_cast<Real>(r);
    for (int64_t k = 0; k < K; ++k) y[m * K + k] = static_cast<Real>(x[m * K + k] * r * weight[k]);
  }
}

template <class Real>
void rms_norm_backward(int64_t M, int64_t K, const Real* d_y, const Real* x, const Real* rstd, const Real* weight, Real* d_x) {
  for (int64_t m = 0; m < M; ++m) {
    const double r = rstd[m];
    double projection = 0;  // mean(g ∘ x̂)
    for (int64_t k = 0; k < K; ++k) projection += static_cast<double>(weight[k]) * d_y[m * K + k] * x[m * K + k] * r;
    projection /= static_cast<double>(K);
    for (int64_t k = 0; k < K; ++k) {
      const double g = static_cast<double>(weight[k]) * d_y[m * K + k];
      d_x[m * K + k] += static_cast<Real>(r * (g - x[m * K + k] * r * projection));
    }
  }
}

template void rms_norm_forward(int64_t, int64_t, float*, const float*, const float*, double, float*, float*);
template void rms_norm_forward(int64_t, int64_t, double*, const double*, const double*, double, double*, double*);
template void rms_norm_backward(int64_t, int64_t, const float*, const float*, const float*, const float*, float*);
template void rms_norm_backward(int64_t, int64_t, const double*, const double*, const double*, const double*, double*);

}  // namespace fedlora::ref
