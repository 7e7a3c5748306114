/// The rules of server_step.h for one element type, inlined into a function per instruction set.
#pragma once
#include <cmath>
#include <cstdint>

#include "base/inline.h"
#include "vectors/server_step.h"

namespace fedlora::step_body {

template <ServerRule rule, class T>
FEDLORA_INLINE void step(T* __restrict x, const T* __restrict mean, T* __restrict moment1, T* __restrict moment2, int64_t count,
                         const StepSizes& sizes) {
  const double rate = sizes.rate, beta1 = sizes.beta1, beta2 = sizes.beta2, epsilon = sizes.epsilon;
  for (int64_t i = 0; i < count; ++i) {
    const double delta = mean[i];
    if constexpr (rule == ServerRule::momentum || rule == ServerRule::nesterov) {
      const T m = static_cast<T>(beta1 * static_cast<double>(moment1[i]) + delta);
      moment1[i] = m;
      const double direction = rule == ServerRule::momentum ? static_cast<double>(m) : delta + beta1 * static_cast<double>(m);
      x[i] = static_cast<T>(static_cast<double>(x[i]) + rate * direction);
    } else {
      const T m = static_cast<T>(beta1 * static_cast<double>(moment1[i]) + (1 - beta1) * delta);
      const double before = moment2[i], square = delta * delta;
      double after;
      if constexpr (rule == ServerRule::adam) after = beta2 * before + (1 - beta2) * delta * delta;
      if constexpr (rule == ServerRule::adagrad) after = before + square;
      if constexpr (rule == ServerRule::yogi) {
        const double sign = (before > square ? 1.0 : 0.0) - (before < square ? 1.0 : 0.0);
        after = before - (1 - beta2) * square * sign;
      }
      const T v = static_cast<T>(after);
      moment1[i] = m, moment2[i] = v;
      x[i] = static_cast<T>(static_cast<double>(x[i]) + rate * static_cast<double>(m) / (std::sqrt(static_cast<double>(v)) + epsilon));
    }
  }
}

}  // namespace fedlora::step_body
