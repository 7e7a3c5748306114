/// ops.def: sum_of_squares, gradient_terms, adamw, sgd.
#pragma once
#include "backend/cuda/launch/queue.h"
#include "backend/ops.h"

namespace fedlora::cuda {

size_t sum_of_squares_workspace(int64_t count);
/// *result, on the device: Σ x² in double.
void sum_of_squares(const Queue& queue, int64_t count, const float* x, double* result, void* workspace);
/// anchor, correction: null to leave them out.
void gradient_terms(const Queue& queue, float mu, int64_t count, const float* parameter, const float* anchor, const float* correction,
                    float* gradient);
void adamw(const Queue& queue, const AdamWStep& step, int64_t count, float* parameter, float* gradient, float* moment1, float* moment2);
/// momentum_buffer null: no momentum.
void sgd(const Queue& queue, float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, int64_t count,
         float* parameter, float* gradient, float* momentum_buffer);

}  // namespace fedlora::cuda
