/// ops.def: rms_norm_forward, rms_norm_rebuild, rms_norm_backward, row_norm_forward, row_norm_backward.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

void rms_norm_forward(const Queue& queue, int64_t M, int64_t K, float* x, const void* delta, const float* weight, float eps, void* y,
                      float* rstd, void* x_saved, Element element);
void rms_norm_rebuild(const Queue& queue, int64_t M, int64_t K, const void* x_saved, const float* rstd, const float* weight, void* y,
                      Element element);
void rms_norm_backward(const Queue& queue, int64_t M, int64_t K, const void* d_y, const void* x_saved, const float* rstd,
                       const float* weight, float* d_x, void* d_x_copy, Element element);
void row_norm_forward(const Queue& queue, int64_t rows, int64_t width, const void* x, const float* weight, float eps, void* y, float* rstd,
                      Element element);
void row_norm_backward(const Queue& queue, int64_t rows, int64_t width, const void* d_y, const void* x, const float* rstd,
                       const float* weight, void* d_x, Element element);

}  // namespace fedlora::cuda
