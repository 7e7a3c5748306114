#include "backend/cuda/launch/rms_norm.h"

#include "backend/cuda/device/rms_norm.cuh"
#include "backend/cuda/device/rms_norm_wide.cuh"

namespace fedlora::cuda {

namespace {

dim3 grid_of(int64_t rows) { return dim3(static_cast<unsigned>((rows + norm_warps - 1) / norm_warps)); }

/// Threads that share a row, and the wide pieces that each of them holds.
template <int group, int pieces>
struct WideRow {
  static constexpr int Group = group, Pieces = pieces, threads = wide_norm_threads<group>;
  static constexpr int shared_bytes = threads / 32 * static_cast<int>(sizeof(float));
  static dim3 grid(int64_t rows) { return dim3(static_cast<unsigned>((rows + threads / group - 1) / (threads / group))); }
};

/// body(WideRow) for rows of K that threads can hold: false for others, or where they cannot be read in wide pieces.
template <class Body, class... Pointers>
bool wide(int64_t K, const Body& body, Pointers... bases) {
  if (!in_wide_pieces(K, bases...) || K > 8192) return false;
  if (K <= 128)
    body(WideRow<16, 1>());
  else if (K <= 1024)
    body(WideRow<32, 4>());
  else if (K <= 4096)
    body(WideRow<128, 4>());
  else
    body(WideRow<512, 2>());
  return true;
}

}  // namespace

void rms_norm_forward(const Queue& queue, int64_t M, int64_t K, float* x, const void* delta, const float* weight, float eps, void* y,
                      float* rstd, void* x_saved, Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    const auto held = [&](auto row) {
      using Row = decltype(row);
      FED_LAUNCH((wide_norm_forward_kernel<Row::Group, Row::Pieces, float, T>), Row::grid(M), dim3(Row::threads), Row::shared_bytes,
                 queue.stream, M, K, x, static_cast<const T*>(delta), weight, eps, static_cast<T*>(y), rstd, static_cast<T*>(x_saved));
    };
    if (wide(K, held, x, delta, weight, y, x_saved)) return;
    FED_LAUNCH((rms_norm_forward_kernel<T>), grid_of(M), dim3(norm_threads), 0, queue.stream, M, K, x, static_cast<const T*>(delta), weight,
               eps, static_cast<T*>(y), rstd, static_cast<T*>(x_saved));
  });
}

void rms_norm_rebuild(const Queue& queue, int64_t M, int64_t K, const void* x_saved, const float* rstd, const float* weight, void* y,
                      Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    if (in_wide_pieces(K, x_saved, weight, y))
      FED_LAUNCH((wide_norm_rebuild_kernel<T>), dim3(static_cast<unsigned>(M)), dim3(wide_rebuild_threads), 0, queue.stream, K,
                 static_cast<const T*>(x_saved), rstd, weight, static_cast<T*>(y));
    else
      FED_LAUNCH((rms_norm_rebuild_kernel<T>), grid_of(M), dim3(norm_threads), 0, queue.stream, M, K, static_cast<const T*>(x_saved), rstd,
                 weight, static_cast<T*>(y));
  });
}

void rms_norm_backward(const Queue& queue, int64_t M, int64_t K, const void* d_y, const void* x_saved, const float* rstd,
                       const float* weight, float* d_x, void* d_x_copy, Element element) {
  if (M == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    const auto held = [&](auto row) {
      using Row = decltype(row);
      FED_LAUNCH((wide_norm_backward_kernel<Row::Group, Row::Pieces, true, float, T>), Row::grid(M), dim3(Row::threads), Row::shared_bytes,
                 queue.stream, M, K, static_cast<const T*>(d_y), static_cast<const T*>(x_saved), rstd, weight, d_x,
                 static_cast<T*>(d_x_copy));
    };
    if (wide(K, held, d_y, x_saved, weight, d_x, d_x_copy)) return;
    FED_LAUNCH((rms_norm_backward_kernel<T>), grid_of(M), dim3(norm_threads), 0, queue.stream, M, K, static_cast<const T*>(d_y),
               static_cast<const T*>(x_saved), rstd, weight, d_x, static_cast<T*>(d_x_copy));
  });
}

void row_norm_forward(const Queue& queue, int64_t rows, int64_t width, const void* x, const float* weight, float eps, void* y, float* rstd,
                      Element element) {
  if (rows == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    const T* const in = static_cast<const T*>(x);
    T *const out = static_cast<T*>(y), *const none = nullptr;
    const auto held = [&](auto row) {
      using Row = decltype(row);
      FED_LAUNCH((wide_norm_forward_kernel<Row::Group, Row::Pieces, const T, T>), Row::grid(rows), dim3(Row::threads), Row::shared_bytes,
                 queue.stream, rows, width, in, none, weight, eps, out, rstd, none);
    };
    if (wide(width, held, x, weight, y)) return;
    FED_LAUNCH((row_norm_forward_kernel<T>), grid_of(rows), dim3(norm_threads), 0, queue.stream, rows, width, in, weight, eps, out, rstd);
  });
}

void row_norm_backward(const Queue& queue, int64_t rows, int64_t width, const void* d_y, const void* x, const float* rstd,
                       const float* weight, void* d_x, Element element) {
  if (rows == 0) return;
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    const T *const of_y = static_cast<const T*>(d_y), *const in = static_cast<const T*>(x);
    T *const out = static_cast<T*>(d_x), *const none = nullptr;
    const auto held = [&](auto row) {
      using Row = decltype(row);
      FED_LAUNCH((wide_norm_backward_kernel<Row::Group, Row::Pieces, false, T, T>), Row::grid(rows), dim3(Row::threads), Row::shared_bytes,
                 queue.stream, rows, width, of_y, in, rstd, weight, out, none);
    };
    if (wide(width, held, d_y, x, weight, d_x)) return;
    FED_LAUNCH((row_norm_backward_kernel<T>), grid_of(rows), dim3(norm_threads), 0, queue.stream, rows, width, of_y, in, rstd, weight, out);
  });
}

}  // namespace fedlora::cuda
