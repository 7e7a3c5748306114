#include "ref/lora_linear_ref.h"

#include <vector>

#include "base/philox.h"

namespace fedlora::ref {

double dropout_factor(float probability, uint64_t seed, uint64_t stream, uint64_t index) {
  if (probability <= 0) return 1;
  const float draw = uniform_f32(Philox{seed, stream}(index / 4)[index % 4]);
  return draw >= probability ? 1.0 / (1.0 - probability) : 0.0;
}

namespace {
template <class Real>
double drop(const Adapter<Real>& a, int64_t K, int64_t m, int64_t k) {
  return dropout_factor(a.dropout, a.dropout_seed, a.dropout_stream, static_cast<uint64_t>((m - a.row_begin) * K + k));
}
}  // namespace

template <class Real>
void lora_linear_forward(int64_t M, int64_t N, int64_t K, const Real* x, const Real* W, const Real* bias,
                         std::span<const Adapter<Real>> adapters, Real* h, int64_t h_stride, Real* y) {
  std::vector<double> sum(static_cast<size_t>(M * N));
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      double value = bias ? static_cast<double>(bias[n]) : 0.0;
      for (int64_t k = 0; k < K; ++k) value += static_cast<double>(x[m * K + k]) * W[n * K + k];
      sum[m * N + n] = value;
    }
  for (const Adapter<Real>& a : adapters)
    for (int64_t m = a.row_begin; m < a.row_end; ++m) {
      for (int r = 0; r < a.rank; ++r) {
        double value = 0;
        for (int64_t k = 0; k < K; ++k) value += drop(a, K, m, k) * x[m * K + k] * a.A[r * K + k];
        h[m * h_stride + r] = static_cast<Real>(value);
      }
      for (int64_t n = 0; n < N; ++n) {
        double value = 0;
        for (int r = 0; r < a.rank; ++r) value += static_cast<double>(h[m * h_stride + r]) * a.B[n * a.rank + r];
        sum[m * N + n] += a.scaling * value;
      }
      for (int p = 0; p < a.frozen_rank; ++p) {
        double value = 0;
        for (int64_t k = 0; k < K; ++k) value += static_cast<double>(x[m * K + k]) * a.A_res[p * K + k];
        for (int64_t n = 0; n < N; ++n) sum[m * N + n] += a.scaling * value * a.B_res[n * a.frozen_rank + p];
      }
    }
  for (int64_t i = 0; i < M * N; ++i) y[i] = static_cast<Real>(sum[i]);
}

template <class Real>
void lora_linear_backward(int64_t M, int64_t N, int64_t K, const Real* x, const Real* W, std::span<const Adapter<Real>> adapters,
                          const Real* h, int64_t h_stride, const Real* d_y, Real* d_x) {
  if (d_x)
    for (int64_t m = 0; m < M; ++m)
      for (int64_t k = 0; k < K; ++k) {
        double value = 0;
        for (int64_t n = 0; n < N; ++n) value += static_cast<double>(d_y[m * N + n]) * W[n * K + k];
        d_x[m * K + k] = static_cast<Real>(value);
      }
  for (const Adapter<Real>& a : adapters) {
    const int64_t rows = a.row_end - a.row_begin;
    std::vector<double> d_h(static_cast<size_t>(rows * a.rank));
    for (int64_t m = a.row_begin; m < a.row_end; ++m)
      for (int r = 0; r < a.rank; ++r) {
        double value = 0;
        for (int64_t n = 0; n < N; ++n) value += static_cast<double>(d_y[m * N + n]) * a.B[n * a.rank + r];
        d_h[(m - a.row_begin) * a.rank + r] = a.scaling * value;
      }
    for (int64_t n = 0; a.d_B && n < N; ++n)
      for (int r = 0; r < a.rank; ++r) {
        double value = 0;
        for (int64_t m = a.row_begin; m < a.row_end; ++m) value += static_cast<double>(d_y[m * N + n]) * h[m * h_stride + r];
        a.d_B[n * a.rank + r] += static_cast<Real>(a.scaling * value);
      }
    for (int r = 0; a.d_A && r < a.rank; ++r)
      for (int64_t k = 0; k < K; ++k) {
        double value = 0;
        for (int64_t m = a.row_begin; m < a.row_end; ++m) value += d_h[(m - a.row_begin) * a.rank + r] * drop(a, K, m, k) * x[m * K + k];
        a.d_A[r * K + k] += static_cast<Real>(value);
      }
    if (!d_x) continue;
    for (int64_t m = a.row_begin; m < a.row_end; ++m)
      for (int64_t k = 0; k < K; ++k) {
        double value = 0;
        for (int r = 0; r < a.rank; ++r) value += d_h[(m - a.row_begin) * a.rank + r] * a.A[r * K + k];
        d_x[m * K + k] += static_cast<Real>(drop(a, K, m, k) * value);
      }
    for (int64_t m = a.row_begin; m < a.row_end; ++m)
      for (int p = 0; p < a.frozen_rank; ++p) {
        double value = 0;
        for (int64_t n = 0; n < N; ++n) value += static_cast<double>(d_y[m * N + n]) * a.B_res[n * a.frozen_rank + p];
        for (int64_t k = 0; k < K; ++k) d_x[m * K + k] += static_cast<Real>(a.scaling * value * a.A_res[p * K + k]);
      }
  }
}

template void lora_linear_forward(int64_t, int64_t, int64_t, const float*, const float*, const float*, std::span<const Adapter<float>>,
                                  float*, int64_t, float*);
template void lora_linear_forward(int64_t, int64_t, int64_t, const double*, const double*, const double*, std::span<const Adapter<double>>,
                                  double*, int64_t, double*);
template void lora_linear_backward(int64_t, int64_t, int64_t, const float*, const float*, std::span<const Adapter<float>>, const float*,
                                   int64_t, const float*, float*);
template void lora_linear_backward(int64_t, int64_t, int64_t, const double*, const double*, std::span<const Adapter<double>>, const double*,
                                   int64_t, const double*, double*);

}  // namespace fedlora::ref
