#include "ref/attention_ref.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fedlora::ref {

namespace {
template <class Real>
double dot(const Real* a, const Real* b, int D) {
  double sum = 0;
  for (int d = 0; d < D; ++d) sum += static_cast<double>(a[d]) * b[d];
  return sum;
}

/// Calls row(i, first) for every query row and the first key row that it sees.
template <class Body>
void each_query(std::span<const int64_t> offsets, int window, Body row) {
  for (size_t sequence = 0; sequence + 1 < offsets.size(); ++sequence)
    for (int64_t i = offsets[sequence]; i < offsets[sequence + 1]; ++i)
      row(i, window > 0 ? std::max(offsets[sequence], i - window + 1) : offsets[sequence]);
}

/// p_ij of head h for j in [first, i]; returns lse_i. `slope`, if given, receives dc_ij / ds_ij.
template <class Real>
double probabilities(const AttentionShape& shape, int h, const Real* q_i, const Real* k, int64_t k_stride, int64_t first, int64_t i,
                     std::vector<double>& p, std::vector<double>* slope = nullptr) {
  p.resize(static_cast<size_t>(i - first + 1));
  if (slope) slope->assign(p.size(), 1.0);
  double largest = -INFINITY, sum = 0;
  for (int64_t j = first; j <= i; ++j) {
    p[j - first] = static_cast<double>(shape.scale) * dot(q_i, k + j * k_stride, shape.head_dim);
    if (shape.soft_cap > 0) {
      const double t = std::tanh(p[j - first] / shape.soft_cap);
      p[j - first] = shape.soft_cap * t;
      if (slope) (*slope)[j - first] = 1 - t * t;
    }
    if (shape.slopes) p[j - first] += static_cast<double>(shape.slopes[h]) * static_cast<double>(j - i);
    largest = std::max(largest, p[j - first]);
  }
  for (double& score : p) sum += std::exp(score - largest);
  const double lse = largest + std::log(sum);
  for (double& score : p) score = std::exp(score - lse);
  return lse;
}
}  // namespace

template <class Real>
void attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, const Real* q, const Real* k, const Real* v, Real* o,
                       Real* lse) {
  const int H = shape.heads, G = shape.kv_heads, D = shape.head_dim;
  std::vector<double> p;
  for (int h = 0; h < H; ++h) {
    const int64_t g = h / (H / G);
    each_query(offsets, shape.window, [&](int64_t i, int64_t first) {
      const double value = probabilities(shape, h, q + (i * H + h) * D, k + g * D, static_cast<int64_t>(G) * D, first, i, p);
      if (lse) lse[i * H + h] = static_cast<Real>(value);
      for (int d = 0; d < D; ++d) {
        double sum = 0;
        for (int64_t j = first; j <= i; ++j) sum += p[j - first] * v[(j * G + g) * D + d];
        o[(i * H + h) * D + d] = static_cast<Real>(sum);
      }
    });
  }
}

template <class Real>
void attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, const Real* q, const Real* k, const Real* v,
                        const Real* d_o, Real* d_q, Real* d_k, Real* d_v) {
  const int H = shape.heads, G = shape.kv_heads, D = shape.head_dim;
  const int64_t M = offsets.back();
  std::vector<double> p, slope, d_p, sum_k(static_cast<size_t>(M * G * D)), sum_v(sum_k.size()), sum_q(static_cast<size_t>(D));
  for (int h = 0; h < H; ++h) {
    const int64_t g = h / (H / G);
    each_query(offsets, shape.window, [&](int64_t i, int64_t first) {
      const Real* q_i = q + (i * H + h) * D;
      const Real* d_o_i = d_o + (i * H + h) * D;
      probabilities(shape, h, q_i, k + g * D, static_cast<int64_t>(G) * D, first, i, p, &slope);
      d_p.resize(p.size());
      double delta = 0;  // d_o·o = Σ_j p_ij (d_o·v_j)
      for (int64_t j = first; j <= i; ++j) {
        d_p[j - first] = dot(d_o_i, v + (j * G + g) * D, D);
        delta += p[j - first] * d_p[j - first];
      }
      std::fill(sum_q.begin(), sum_q.end(), 0.0);
      for (int64_t j = first; j <= i; ++j) {
        const double d_s = p[j - first] * (d_p[j - first] - delta) * slope[j - first] * shape.scale;
        for (int d = 0; d < D; ++d) {
          sum_q[d] += d_s * k[(j * G + g) * D + d];
          sum_k[(j * G + g) * D + d] += d_s * q_i[d];
          sum_v[(j * G + g) * D + d] += p[j - first] * d_o_i[d];
        }
      }
      for (int d = 0; d < D; ++d) d_q[(i * H + h) * D + d] = static_cast<Real>(sum_q[d]);
    });
  }
  for (int64_t i = 0; i < M * G * D; ++i) {
    d_k[i] = static_cast<Real>(sum_k[i]);
    d_v[i] = static_cast<Real>(sum_v[i]);
  }
}

template void attention_forward(const AttentionShape&, std::span<const int64_t>, const float*, const float*, const float*, float*, float*);
template void attention_forward(const AttentionShape&, std::span<const int64_t>, const double*, const double*, const double*, double*,
                                double*);
template void attention_backward(const AttentionShape&, std::span<const int64_t>, const float*, const float*, const float*, const float*,
                                 float*, float*, float*);
template void attention_backward(const AttentionShape&, std::span<const int64_t>, const double*, const double*, const double*,
                                 const double*, double*, double*, double*);

}  // namespace fedlora::ref
