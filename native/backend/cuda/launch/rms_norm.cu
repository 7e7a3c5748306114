#include "backend/cuda/launch/rms_norm.h"

#include "backend/cuda/device/rms_norm.cuh"

namespace fedlora::cuda {

namespace {

dim3 grid_of(int64_t rows) { return dim3(static_cast<unsigned>((rows + norm_warps - 1) / norm_warps)); }

}  // namespace

void rms_norm_forward(const Queue& queue, int64_t M, int64_t K, float* x, const void* delta, const float* weight, float eps, void* y,
                      float* rstd, void* x_saved, Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    FED_LAUNCH((rms_norm_forward_kernel<T>), grid_of(M), dim3(norm_threads), 0, queue.stream, M, K, x, static_cast<const T*>(delta), weight,
               eps, static_cast<T*>(y), rstd, static_cast<T*>(x_saved));
  });
}

void rms_norm_rebuild(const Queue& queue, int64_t M, int64_t K, const void* x_saved, const float* rstd, const float* weight, void* y,
                      Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    FED_LAUNCH((rms_norm_rebuild_kernel<T>), grid_of(M), dim3(norm_threads), 0, queue.stream, M, K, static_cast<const T*>(x_saved), rstd,
               weight, static_cast<T*>(y));
  });
}

void rms_norm_backward(const Queue& queue, int64_t M, int64_t K, const void* d_y, const void* x_saved, const float* rstd,
                       const float* weight, float* d_x, void* d_x_copy, Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    FED_LAUNCH((rms_norm_backward_kernel<T>), grid_of(M), dim3(norm_threads), 0, queue.stream, M, K, static_cast<const T*>(d_y),
               static_cast<const T*>(x_saved), rstd, weight, d_x, static_cast<T*>(d_x_copy));
  });
}

void row_norm_forward(const Queue& queue, int64_t rows, int64_t width, const void* x, const float* weight, float eps, void* y, float* rstd,
                      Element element) {
  if (rows == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    FED_LAUNCH((row_norm_forward_kernel<T>), grid_of(rows), dim3(norm_threads), 0, queue.stream, rows, width, static_cast<const T*>(x),
               weight, eps, static_cast<T*>(y), rstd);
  });
}

void row_norm_backward(const Queue& queue, int64_t rows, int64_t width, const void* d_y, const void* x, const float* rstd,
                       const float* weight, void* d_x, Element element) {
  if (rows == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    FED_LAUNCH((row_norm_backward_kernel<T>), grid_of(rows), dim3(norm_threads), 0, queue.stream, rows, width, static_cast<const T*>(d_y),
               static_cast<const T*>(x), rstd, weight, static_cast<T*>(d_x));
  });
}

}  // namespace fedlora::cuda
