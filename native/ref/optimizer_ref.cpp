#include "ref/optimizer_ref.h"

#include <cmath>

namespace fedlora::ref {

template <class Real>
void gradient_terms(double mu, int64_t count, const Real* parameter, const Real* anchor, const Real* correction, Real* gradient) {
  for (int64_t i = 0; i < count; ++i) {
    double g = gradient[i];
    if (anchor != nullptr) g += mu * (static_cast<double>(parameter[i]) - anchor[i]);
    if (correction != nullptr) g += correction[i];
    gradient[i] = static_cast<Real>(g);
  }
}

template <class Real>
void adamw(const AdamWStep& step, int64_t count, Real* parameter, Real* gradient, Real* moment1, Real* moment2) {
  const double lr = step.learning_rate, beta1 = step.beta1, beta2 = step.beta2;
  const double correction1 = 1 - std::pow(beta1, static_cast<double>(step.step)),
               correction2 = 1 - std::pow(beta2, static_cast<double>(step.step));
  for (int64_t i = 0; i < count; ++i) {
    const double g = static_cast<double>(step.grad_scale) * gradient[i];
    const double m = beta1 * moment1[i] + (1 - beta1) * g;
    const double v = beta2 * moment2[i] + (1 - beta2) * g * g;
    const double decayed = parameter[i] * (1 - lr * step.weight_decay);
    parameter[i] = static_cast<Real>(decayed - lr * (m / correction1) / (std::sqrt(v / correction2) + step.epsilon));
    moment1[i] = static_cast<Real>(m);
    moment2[i] = static_cast<Real>(v);
    gradient[i] = 0;
  }
}

template <class Real>
void sgd(double learning_rate, double momentum, double weight_decay, double grad_scale, bool first_step, int64_t count, Real* parameter,
         Real* gradient, Real* momentum_buffer) {
  for (int64_t i = 0; i < count; ++i) {
    double update = grad_scale * gradient[i] + weight_decay * parameter[i];
    if (momentum != 0) {
      if (!first_step) update += momentum * momentum_buffer[i];
      momentum_buffer[i] = static_cast<Real>(update);
    }
    parameter[i] = static_cast<Real>(parameter[i] - learning_rate * update);
    gradient[i] = 0;
  }
}

template void gradient_terms(double, int64_t, const float*, const float*, const float*, float*);
template void gradient_terms(double, int64_t, const double*, const double*, const double*, double*);
template void adamw(const AdamWStep&, int64_t, float*, float*, float*, float*);
template void adamw(const AdamWStep&, int64_t, double*, double*, double*, double*);
template void sgd(double, double, double, double, bool, int64_t, float*, float*, float*);
template void sgd(double, double, double, double, bool, int64_t, double*, double*, double*);

}  // namespace fedlora::ref
