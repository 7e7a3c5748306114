/// The norms of rms_norm.cuh for rows that threads hold in registers, each element read once: `Group` threads a row, `Pieces` wide pieces a
/// thread (lane, lane + Group, …), so that K is a multiple of 8 and at most 8·Group·Pieces. A block is 256 threads, or one group where that
/// is larger; it has a float of shared memory a warp. The order of a sum depends on K alone. Outputs may be inputs as there.
#pragma once
#include <type_traits>

#include "backend/cuda/device/piece.cuh"

namespace fedlora::cuda {

template <int Group>
constexpr int wide_norm_threads = Group > 256 ? Group : 256;

/// A thread's place: its group's row (the last one again behind the end, which is not `there`), and its pieces' first elements.
template <int Group, int Pieces>
struct OwnRow {
  int64_t K, row, at;
  int lane;
  bool there;
  DEV OwnRow(int64_t rows, int64_t K) : K(K), lane(static_cast<int>(threadIdx.x) % Group) {
    row = static_cast<int64_t>(blockIdx.x) * (wide_norm_threads<Group> / Group) + threadIdx.x / Group;
    there = row < rows;
    if (!there) row = rows - 1;
    at = row * K;
  }
  DEV bool leads() const { return there && lane == 0; }
  /// body(i, k) for each piece of the row: its number in the thread and its first column.
  template <class Body>
  DEV void each(const Body& body) const {
#pragma unroll
    for (int i = 0; i < Pieces; ++i) {
      const int64_t k = (lane + i * Group) * int64_t{wide_piece};
      if (there && k < K) body(i, k);
    }
  }
};

using WidePiece = Piece<wide_piece>;

/// rms_norm_forward, where Stream is float, and x_saved and delta may be null; row_norm_forward, where it is const T, and they are.
template <int Group, int Pieces, class Stream, class T>
__global__ void __launch_bounds__(wide_norm_threads<Group>)
    wide_norm_forward_kernel(int64_t M, int64_t K, Stream* x, const T* delta, const float* weight, float eps, T* y, float* rstd,
                             T* x_saved) {
  FED_SHARED(shared);
  const OwnRow<Group, Pieces> own(M, K);
  WidePiece held[Pieces];
  own.each([&](int i, int64_t k) { held[i] = load_piece<wide_piece>(x + own.at + k); });
  if (delta != nullptr)
    own.each([&](int i, int64_t k) {
      const WidePiece more = load_piece<wide_piece>(delta + own.at + k);
#pragma unroll
      for (int j = 0; j < wide_piece; ++j) held[i][j] += more[j];
    });
  float squares = 0;
  own.each([&](int i, int64_t k) {
    if constexpr (!std::is_const_v<Stream>)
      if (delta != nullptr) store_piece(x + own.at + k, held[i]);
    if (x_saved != nullptr) store_piece(x_saved + own.at + k, held[i]);
#pragma unroll
    for (int j = 0; j < wide_piece; ++j) squares += held[i][j] * held[i][j];
  });
  const float r = 1.0f / sqrtf(group_sum<Group>(squares, reinterpret_cast<float*>(shared)) / static_cast<float>(K) + eps);
  if (own.leads()) rstd[own.row] = r;
  own.each([&](int i, int64_t k) {
    const WidePiece w = load_piece<wide_piece>(weight + k);
#pragma unroll
    for (int j = 0; j < wide_piece; ++j) held[i][j] = held[i][j] * r * w[j];
    store_piece(y + own.at + k, held[i]);
  });
}

/// rms_norm_backward, where Gradient is float and `add`, and d_x_copy may be null; row_norm_backward, where it is T, and d_x_copy null.
template <int Group, int Pieces, bool add, class Gradient, class T>
__global__ void __launch_bounds__(wide_norm_threads<Group>)
    wide_norm_backward_kernel(int64_t M, int64_t K, const T* d_y, const T* x, const float* rstd, const float* weight, Gradient* d_x,
                              T* d_x_copy) {
  FED_SHARED(shared);
  const OwnRow<Group, Pieces> own(M, K);
  const float r = rstd[own.row];
  WidePiece of_y[Pieces], normed[Pieces];  // w∘d_y and x̂
  float dot = 0;
  own.each([&](int i, int64_t k) {
    of_y[i] = load_piece<wide_piece>(d_y + own.at + k);
    normed[i] = load_piece<wide_piece>(x + own.at + k);
  });
  own.each([&](int i, int64_t k) {
    const WidePiece w = load_piece<wide_piece>(weight + k);
#pragma unroll
    for (int j = 0; j < wide_piece; ++j) {
      of_y[i][j] *= w[j];
      normed[i][j] *= r;
      dot += of_y[i][j] * normed[i][j];
    }
  });
  const float mean = group_sum<Group>(dot, reinterpret_cast<float*>(shared)) / static_cast<float>(K);
  own.each([&](int i, int64_t k) {
    WidePiece sum{};
    if constexpr (add) sum = load_piece<wide_piece>(d_x + own.at + k);
#pragma unroll
    for (int j = 0; j < wide_piece; ++j) sum[j] += r * (of_y[i][j] - normed[i][j] * mean);
    store_piece(d_x + own.at + k, sum);
    if (d_x_copy != nullptr) store_piece(d_x_copy + own.at + k, sum);
  });
}

/// y = x·rstd·weight. Grid: a block a row.
constexpr int wide_rebuild_threads = 256;

template <class T>
__global__ void __launch_bounds__(wide_rebuild_threads)
    wide_norm_rebuild_kernel(int64_t K, const T* x, const float* rstd, const float* weight, T* y) {
  const float r = rstd[blockIdx.x];
  const int64_t at = static_cast<int64_t>(blockIdx.x) * K;
  for (int64_t k = static_cast<int64_t>(threadIdx.x) * wide_piece; k < K; k += int64_t{wide_rebuild_threads} * wide_piece) {
    WidePiece value = load_piece<wide_piece>(x + at + k);
    const WidePiece w = load_piece<wide_piece>(weight + k);
#pragma unroll
    for (int j = 0; j < wide_piece; ++j) value[j] = value[j] * r * w[j];
    store_piece(y + at + k, value);
  }
}

}  // namespace fedlora::cuda
