/// Root-mean-square norms of rows, split by rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::rms_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, float eps, Activation y,
                                  float* rstd, Activation x_saved) {
  each_rows(pool_, M, K, [&](int64_t first, int64_t count) {
    const int64_t at = first * K;
    if (compute_ == Compute::f32)
      kernels_.rms_norm_forward_f32(count, K, x + at, as<float>(delta, at), weight, eps, as<float>(y, at), rstd + first,
                                    as<float>(x_saved, at));
    else
      kernels_.rms_norm_forward_bf16(count, K, x + at, as<bf16>(delta, at), weight, eps, as<bf16>(y, at), rstd + first,
                                     as<bf16>(x_saved, at));
  });
}

void CpuBackend::rms_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* rstd, const float* weight, Activation y) {
  each_rows(pool_, M, K, [&](int64_t first, int64_t count) {
    const int64_t at = first * K;
    if (compute_ == Compute::f32)
      kernels_.rms_norm_rebuild_f32(count, K, as<float>(x_saved, at), rstd + first, weight, as<float>(y, at));
    else
      kernels_.rms_norm_rebuild_bf16(count, K, as<bf16>(x_saved, at), rstd + first, weight, as<bf16>(y, at));
  });
}

void CpuBackend::rms_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* rstd,
                                   const float* weight, float* d_x, Activation d_x_copy) {
  each_rows(pool_, M, K, [&](int64_t first, int64_t count) {
    const int64_t at = first * K;
    if (compute_ == Compute::f32)
      kernels_.rms_norm_backward_f32(count, K, as<float>(d_y, at), as<float>(x_saved, at), rstd + first, weight, d_x + at,
                                     as<float>(d_x_copy, at));
    else
      kernels_.rms_norm_backward_bf16(count, K, as<bf16>(d_y, at), as<bf16>(x_saved, at), rstd + first, weight, d_x + at,
                                      as<bf16>(d_x_copy, at));
  });
}

}  // namespace fedlora
