#include "ref/glu_ref.h"

#include <cmath>
#include <numbers>

namespace fedlora::ref {

namespace {
const double gelu_slope = std::sqrt(2 / std::numbers::pi);
constexpr double gelu_cube = 0.044715;
double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }
double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
}  // namespace

double activate(Activate kind, double z) {
  switch (kind) {
    case Activate::silu:
      return z * sigmoid(z);
    case Activate::gelu_tanh:
      return 0.5 * z * (1 + std::tanh(gelu_slope * (z + gelu_cube * z * z * z)));
    case Activate::relu:
      return z > 0 ? z : 0;
    case Activate::gelu:
      return z * normal_cdf(z);
  }
  return 0;
}

double activate_derivative(Activate kind, double z) {
  switch (kind) {
    case Activate::silu:
      return sigmoid(z) * (1 + z * (1 - sigmoid(z)));
    case Activate::gelu_tanh: {
      const double t = std::tanh(gelu_slope * (z + gelu_cube * z * z * z));
      return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * gelu_slope * (1 + 3 * gelu_cube * z * z);
    }
    case Activate::relu:
      return z > 0 ? 1 : 0;
    case Activate::gelu:
      return normal_cdf(z) + z * std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
  }
  return 0;
}

template <class Real>
void glu_forward(Activate kind, int64_t count, const Real* gate, const Real* up, Real* h) {
  for (int64_t i = 0; i < count; ++i) h[i] = static_cast<Real>(activate(kind, gate[i]) * up[i]);
}

template <class Real>
void glu_backward(Activate kind, int64_t count, const Real* gate, const Real* up, const Real* d_h, Real* d_gate, Real* d_up) {
  for (int64_t i = 0; i < count; ++i) {
    const double z = gate[i], u = up[i], d = d_h[i];
    d_gate[i] = static_cast<Real>(d * u * activate_derivative(kind, z));
    d_up[i] = static_cast<Real>(d * activate(kind, z));
  }
}

template void glu_forward(Activate, int64_t, const float*, const float*, float*);
template void glu_forward(Activate, int64_t, const double*, const double*, double*);
template void glu_backward(Activate, int64_t, const float*, const float*, const float*, float*, float*);
template void glu_backward(Activate, int64_t, const double*, const double*, const double*, double*, double*);

}  // namespace fedlora::ref
