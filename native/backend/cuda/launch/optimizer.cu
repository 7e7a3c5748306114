#include "backend/cuda/launch/optimizer.h"

#include <cmath>

#include "backend/cuda/device/optimizer.cuh"

namespace fedlora::cuda {

namespace {

int64_t squares(int64_t count) { return (count + square_block - 1) / square_block; }
dim3 grid_of(int64_t count) { return dim3(static_cast<unsigned>((count + flat_block - 1) / flat_block)); }

}  // namespace

size_t sum_of_squares_workspace(int64_t count) { return static_cast<size_t>(squares(count)) * sizeof(double); }

void sum_of_squares(const Queue& queue, int64_t count, const float* x, double* result, void* workspace) {
  auto* partial = static_cast<double*>(workspace);
  const int64_t blocks = squares(count);
  if (blocks > 0)
    FED_LAUNCH(square_kernel, dim3(static_cast<unsigned>(blocks)), dim3(square_threads), square_shared, queue.stream, count, x, partial);
  FED_LAUNCH(sum_kernel, dim3(1), dim3(square_threads), square_shared, queue.stream, blocks, partial, result);
}

void gradient_terms(const Queue& queue, float mu, int64_t count, const float* parameter, const float* anchor, const float* correction,
                    float* gradient) {
  if (count == 0) return;
  FED_LAUNCH(gradient_terms_kernel, grid_of(count), dim3(flat_threads), 0, queue.stream, mu, count, parameter, anchor, correction,
             gradient);
}

void adamw(const Queue& queue, const AdamWStep& step, int64_t count, float* parameter, float* gradient, float* moment1, float* moment2) {
  if (count == 0) return;
  const double t = static_cast<double>(step.step);
  const AdamWNumbers numbers{step.grad_scale,
                             static_cast<float>(1 - step.learning_rate * step.weight_decay),
                             static_cast<float>(1 - step.beta1),
                             static_cast<float>(step.beta2),
                             static_cast<float>(1 - step.beta2),
                             static_cast<float>(std::sqrt(1 - std::pow(step.beta2, t))),
                             static_cast<float>(step.epsilon),
                             static_cast<float>(step.learning_rate / (1 - std::pow(step.beta1, t)))};
  FED_LAUNCH(adamw_kernel, grid_of(count), dim3(flat_threads), 0, queue.stream, numbers, count, parameter, gradient, moment1, moment2);
}

void sgd(const Queue& queue, float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, int64_t count,
         float* parameter, float* gradient, float* momentum_buffer) {
  if (count == 0) return;
  FED_LAUNCH(sgd_kernel, grid_of(count), dim3(flat_threads), 0, queue.stream, learning_rate, momentum, weight_decay, grad_scale, first_step,
             count, parameter, gradient, momentum == 0 ? nullptr : momentum_buffer);
}

}  // namespace fedlora::cuda
