/// A norm of rows without residual add, split by rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::row_norm_forward(int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y,
                                  float* rstd) {
  each_rows(pool_, rows, width, [&](int64_t first, int64_t count) {
    const int64_t at = first * width;
    if (compute_ == Compute::f32)
      kernels_.row_norm_forward_f32(count, width, as<float>(x, at), weight, eps, as<float>(y, at), rstd + first);
    else
      kernels_.row_norm_forward_bf16(count, width, as<bf16>(x, at), weight, eps, as<bf16>(y, at), rstd + first);
  });
}

void CpuBackend::row_norm_backward(int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd,
                                   const float* weight, Activation d_x) {
  each_rows(pool_, rows, width, [&](int64_t first, int64_t count) {
    const int64_t at = first * width;
    if (compute_ == Compute::f32)
      kernels_.row_norm_backward_f32(count, width, as<float>(d_y, at), as<float>(x, at), rstd + first, weight, as<float>(d_x, at));
    else
      kernels_.row_norm_backward_bf16(count, width, as<bf16>(d_y, at), as<bf16>(x, at), rstd + first, weight, as<bf16>(d_x, at));
  });
}

}  // namespace fedlora
