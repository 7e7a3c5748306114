/// A norm of rows without residual add, split by rows.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::row_norm_forward(int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y,
                                  float* rstd) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, rows, width, [&](int64_t first, int64_t count) {
      const int64_t at = first * width;
      kernels.row_norm_forward(count, width, as<T>(x, at), weight, eps, as<T>(y, at), rstd + first);
    });
  });
}

void CpuBackend::row_norm_backward(int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd,
                                   const float* weight, Activation d_x) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, rows, width, [&](int64_t first, int64_t count) {
      const int64_t at = first * width;
      kernels.row_norm_backward(count, width, as<T>(d_y, at), as<T>(x, at), rstd + first, weight, as<T>(d_x, at));
    });
  });
}

}  // namespace fedlora
