/// Gradient norm and parameter updates over flat vectors, split into runs of elements.
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

double CpuBackend::sum_of_squares(std::span<const float> x) {
  constexpr int64_t block = 4096;
  const int64_t count = static_cast<int64_t>(x.size()), blocks = (count + block - 1) / block;
  Scratch& memory = slot(Slot::rows);
  memory.reserve(1, static_cast<size_t>(blocks) * sizeof(double));
  double* sums = memory.get<double>();
  each_rows(pool_, blocks, block, [&](int64_t first, int64_t n) {
    for (int64_t b = first; b < first + n; ++b)
      sums[b] = kernels_.sum_of_squares_block(x.data() + b * block, std::min(block, count - b * block));
  });
  double sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += sums[b];
  return sum;
}

void CpuBackend::gradient_terms(float mu, std::span<const float> parameter, std::span<const float> anchor,
                                std::span<const float> correction, std::span<float> gradient) {
  const auto from = [](std::span<const float> x, int64_t first) { return x.empty() ? nullptr : x.data() + first; };
  each_rows(pool_, static_cast<int64_t>(gradient.size()), 1, [&](int64_t first, int64_t n) {
    kernels_.gradient_terms_block(mu, n, parameter.data() + first, from(anchor, first), from(correction, first), gradient.data() + first);
  });
}

void CpuBackend::adamw(const AdamWStep& step, std::span<float> parameter, std::span<float> gradient, std::span<float> moment1,
                       std::span<float> moment2) {
  const double lr = step.learning_rate, beta1 = step.beta1, beta2 = step.beta2, t = static_cast<double>(step.step);
  AdamWNumbers numbers;
  numbers.grad_scale = step.grad_scale;
  numbers.keep = static_cast<float>(1 - lr * step.weight_decay);
  numbers.one_minus_beta1 = static_cast<float>(1 - beta1);
  numbers.beta2 = static_cast<float>(beta2);
  numbers.one_minus_beta2 = static_cast<float>(1 - beta2);
  numbers.root_correction2 = static_cast<float>(std::sqrt(1 - std::pow(beta2, t)));
  numbers.epsilon = static_cast<float>(step.epsilon);
  numbers.step_size = static_cast<float>(lr / (1 - std::pow(beta1, t)));
  each_rows(pool_, static_cast<int64_t>(parameter.size()), 1, [&](int64_t first, int64_t n) {
    kernels_.adamw_block(&numbers, n, parameter.data() + first, gradient.data() + first, moment1.data() + first, moment2.data() + first);
  });
}

void CpuBackend::sgd(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, std::span<float> parameter,
                     std::span<float> gradient, std::span<float> momentum_buffer) {
  each_rows(pool_, static_cast<int64_t>(parameter.size()), 1, [&](int64_t first, int64_t n) {
    kernels_.sgd_block(learning_rate, momentum, weight_decay, grad_scale, first_step, n, parameter.data() + first, gradient.data() + first,
                       momentum == 0 ? nullptr : momentum_buffer.data() + first);
  });
}

}  // namespace fedlora
