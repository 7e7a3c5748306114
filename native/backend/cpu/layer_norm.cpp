/// LayerNorm of rows, split by rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::layer_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, const float* bias,
                                    float eps, Activation y, float* moments, Activation x_saved) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, M, K, [&](int64_t first, int64_t count) {
      const int64_t at = first * K;
      kernels.layer_norm_forward(count, K, x + at, as<T>(delta, at), weight, bias, eps, as<T>(y, at), moments + 2 * first,
                                 as<T>(x_saved, at));
    });
  });
}

void CpuBackend::layer_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* moments, const float* weight,
                                    const float* bias, Activation y) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, M, K, [&](int64_t first, int64_t count) {
      const int64_t at = first * K;
      kernels.layer_norm_rebuild(count, K, as<T>(x_saved, at), moments + 2 * first, weight, bias, as<T>(y, at));
    });
  });
}

void CpuBackend::layer_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* moments,
                                     const float* weight, float* d_x, Activation d_x_copy) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, M, K, [&](int64_t first, int64_t count) {
      const int64_t at = first * K;
      kernels.layer_norm_backward(count, K, as<T>(d_y, at), as<T>(x_saved, at), moments + 2 * first, weight, d_x + at, as<T>(d_x_copy, at));
    });
  });
}

}  // namespace fedlora
