/// The book as a backend, f32: lets the model's own wiring be judged without any fast kernel.
#pragma once
#include <algorithm>
#include <cstring>

#include "base/half.h"
#include "quant/encode.h"
#include "ref/attention_ref.h"
#include "ref/cross_entropy_ref.h"
#include "ref/embedding_ref.h"
#include "ref/glu_ref.h"
#include "ref/layer_norm_ref.h"
#include "ref/lora_linear_ref.h"
#include "ref/optimizer_ref.h"
#include "ref/rms_norm_ref.h"
#include "ref/rope_ref.h"

namespace fedlora {

class BookBackend : public Backend {
 public:
  std::string name() const override { return "book"; }
  Compute compute() const override { return Compute::f32; }
  int threads() const override { return 1; }
  const std::shared_ptr<Memory>& memory() const override { return host_memory(); }
  void adopt(Matrix&) override {}
  std::string lacks(const Need&) const override { return {}; }
  OwnBytes needs(const PassSize&) const override { return {}; }

  void embedding_forward(std::span<const int32_t> ids, const Matrix& table, float multiplier, float* x) override {
    ref::embedding_forward<float>(ids, table.K, dense(table).data(), multiplier, x);
  }
  void rms_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, float eps, Activation y, float* rstd,
                        Activation x_saved) override {
    ref::rms_norm_forward<float>(M, K, x, in(delta), weight, eps, out(y), rstd);
    if (x_saved != nullptr) std::memcpy(x_saved, x, static_cast<size_t>(M * K) * sizeof(float));
  }
  void rms_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* rstd, const float* weight, Activation y) override {
    for (int64_t m = 0; m < M; ++m)
      for (int64_t k = 0; k < K; ++k) out(y)[m * K + k] = in(x_saved)[m * K + k] * rstd[m] * weight[k];
  }
  void rms_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* rstd, const float* weight,
                         float* d_x, Activation d_x_copy) override {
    ref::rms_norm_backward<float>(M, K, in(d_y), in(x_saved), rstd, weight, d_x);
    if (d_x_copy != nullptr) std::memcpy(d_x_copy, d_x, static_cast<size_t>(M * K) * sizeof(float));
  }
  void row_norm_forward(int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y,
                        float* rstd) override {
    std::vector<float> copy(in(x), in(x) + rows * width);
    ref::rms_norm_forward<float>(rows, width, copy.data(), nullptr, weight, eps, out(y), rstd);
  }
  void row_norm_backward(int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd, const float* weight,
                         Activation d_x) override {
    std::vector<float> gradient(static_cast<size_t>(rows * width));
    ref::rms_norm_backward<float>(rows, width, in(d_y), in(x), rstd, weight, gradient.data());
    std::memcpy(d_x, gradient.data(), gradient.size() * sizeof(float));
  }
  void lora_linear_forward(int64_t M, ConstActivation x, std::span<LinearTarget> targets, std::span<const Segment> segments) override {
    for (size_t t = 0; t < targets.size(); ++t) {
      const LinearTarget& target = targets[t];
      ref::lora_linear_forward<float>(M, target.W->N, target.W->K, in(x), dense(*target.W).data(), target.bias, adapters(segments, t),
                                      out(target.h), target.h_stride, out(target.y));
    }
  }
  void lora_linear_backward(int64_t M, ConstActivation x, std::span<const LinearTarget> targets, std::span<const Segment> segments,
                            Activation d_x) override {
    const int64_t K = targets[0].W->K;
    std::vector<float> sum(static_cast<size_t>(M * K)), part(sum.size());
    for (size_t t = 0; t < targets.size(); ++t) {
      const LinearTarget& target = targets[t];
      ref::lora_linear_backward<float>(M, target.W->N, K, in(x), dense(*target.W).data(), adapters(segments, t), in(target.h),
                                       target.h_stride, in(target.d_y), part.data());
      for (size_t i = 0; i < sum.size(); ++i) sum[i] = t == 0 ? part[i] : sum[i] + part[i];
    }
    if (d_x != nullptr) std::memcpy(d_x, sum.data(), sum.size() * sizeof(float));
  }
  void lora_linear_decode(ConstActivation x, std::span<const LinearTarget> targets, std::span<const LoraPair> pairs) override {
    std::vector<LinearTarget> all(targets.begin(), targets.end());
    std::vector<std::vector<float>> h(all.size());
    for (size_t t = 0; t < pairs.size(); ++t) {
      h[t].resize(static_cast<size_t>(pairs[t].rank));
      all[t].h = h[t].data();
      all[t].h_stride = pairs[t].rank;
    }
    const Segment segment{0, 1, pairs};
    lora_linear_forward(1, x, all, {&segment, pairs.empty() ? 0u : 1u});
  }
  void rope(int64_t M, int heads, int head_dim, int rotary_dim, std::span<const int32_t> positions, const float* cosine, const float* sine,
            bool inverse, Activation x) override {
    ref::rope<float>(M, heads, head_dim, positions, cosine, sine, inverse, out(x), rotary_dim);
  }
  void attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                         ConstActivation v, Activation o, float* lse) override {
    ref::attention_forward<float>(shape, offsets, in(q), in(k), in(v), out(o), lse);
  }
  void attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                          ConstActivation v, ConstActivation, const float*, ConstActivation d_o, Activation d_q, Activation d_k,
                          Activation d_v) override {
    ref::attention_backward<float>(shape, offsets, in(q), in(k), in(v), in(d_o), out(d_q), out(d_k), out(d_v));
  }
  /// The newest row through the packed form: zeros stand for the queries before it.
  void attention_decode(const AttentionShape& shape, int64_t T, ConstActivation q, ConstActivation keys, ConstActivation values,
                        Activation o) override {
    const int64_t width = static_cast<int64_t>(shape.heads) * shape.head_dim;
    std::vector<float> queries(static_cast<size_t>(T * width)), outputs(queries.size()), lse(static_cast<size_t>(T * shape.heads));
    std::memcpy(&queries[static_cast<size_t>((T - 1) * width)], q, static_cast<size_t>(width) * sizeof(float));
    const int64_t offsets[] = {0, T};
    ref::attention_forward<float>(shape, offsets, queries.data(), in(keys), in(values), outputs.data(), lse.data());
    std::memcpy(o, &outputs[static_cast<size_t>((T - 1) * width)], static_cast<size_t>(width) * sizeof(float));
  }
  void glu_forward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) override {
    ref::glu_forward<float>(kind, count, in(gate), in(up), out(h));
  }
  void glu_backward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h, Activation d_gate,
                    Activation d_up, Activation h) override {
    const std::vector<float> g(in(gate), in(gate) + count), u(in(up), in(up) + count);
    ref::glu_backward<float>(kind, count, g.data(), u.data(), in(d_h), out(d_gate), out(d_up));
    if (h != nullptr) ref::glu_forward<float>(kind, count, g.data(), u.data(), out(h));
  }
  void linear_cross_entropy(int64_t M, ConstActivation x, const Matrix& head, const LogitShape& shape, std::span<const int32_t> targets,
                            std::span<const float> grad_scales, float* losses, uint8_t* correct, Activation d_x) override {
    const std::vector<float> copy(in(x), in(x) + M * head.K);
    ref::linear_cross_entropy<float>(M, head.N, head.K, copy.data(), dense(head).data(), shape, targets, 1, losses, correct, out(d_x));
    for (int64_t i = 0; d_x != nullptr && i < M * head.K; ++i) out(d_x)[i] *= grad_scales[static_cast<size_t>(i / head.K)];
  }
  void head_logits(int64_t M, ConstActivation x, const Matrix& head, const LogitShape& shape, float* logits) override {
    ref::head_logits<float>(M, head.N, head.K, in(x), dense(head).data(), shape, logits);
  }
  void head_logits_decode(ConstActivation x, const Matrix& head, const LogitShape& shape, float* logits) override {
    head_logits(1, x, head, shape, logits);
  }
  void gather_rows(int64_t K, std::span<const int32_t> rows, ConstActivation x, Activation y) override {
    for (size_t i = 0; i < rows.size(); ++i)
      std::memcpy(out(y) + static_cast<int64_t>(i) * K, in(x) + rows[i] * K, static_cast<size_t>(K) * sizeof(float));
  }
  void scatter_rows(int64_t M, int64_t K, std::span<const int32_t> rows, ConstActivation y, Activation x) override {
    std::memset(x, 0, static_cast<size_t>(M * K) * sizeof(float));
    for (size_t i = 0; i < rows.size(); ++i)
      std::memcpy(out(x) + rows[i] * K, in(y) + static_cast<int64_t>(i) * K, static_cast<size_t>(K) * sizeof(float));
  }
  void layer_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, const float* bias, float eps,
                          Activation y, float* moments, Activation x_saved) override {
    ref::layer_norm_forward<float>(M, K, x, in(delta), weight, bias, eps, out(y), moments);
    if (x_saved != nullptr) std::memcpy(x_saved, x, static_cast<size_t>(M * K) * sizeof(float));
  }
  void layer_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* moments, const float* weight, const float* bias,
                          Activation y) override {
    for (int64_t i = 0; i < M * K; ++i)
      out(y)[i] = (in(x_saved)[i] - moments[i / K * 2]) * moments[i / K * 2 + 1] * weight[i % K] + bias[i % K];
  }
  void layer_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* moments, const float* weight,
                           float* d_x, Activation d_x_copy) override {
    ref::layer_norm_backward<float>(M, K, in(d_y), in(x_saved), moments, weight, d_x);
    if (d_x_copy != nullptr) std::memcpy(d_x_copy, d_x, static_cast<size_t>(M * K) * sizeof(float));
  }
  void activate_forward(Activate kind, int64_t count, ConstActivation x, Activation y) override {
    for (int64_t i = 0; i < count; ++i) out(y)[i] = static_cast<float>(ref::activate(kind, in(x)[i]));
  }
  void activate_backward(Activate kind, int64_t count, ConstActivation x, ConstActivation d_y, Activation d_x) override {
    for (int64_t i = 0; i < count; ++i) out(d_x)[i] = static_cast<float>(in(d_y)[i] * ref::activate_derivative(kind, in(x)[i]));
  }
  void embedding_add(std::span<const int32_t> ids, const Matrix& table, float* x) override {
    std::vector<float> rows(ids.size() * static_cast<size_t>(table.K));
    ref::embedding_forward<float>(ids, table.K, dense(table).data(), 1, rows.data());
    for (size_t i = 0; i < rows.size(); ++i) x[i] += rows[i];
  }
  void residual_add(int64_t count, float* x, ConstActivation delta, Activation x_copy) override {
    for (int64_t i = 0; delta != nullptr && i < count; ++i) x[i] += in(delta)[i];
    if (x_copy != nullptr) std::copy_n(x, count, out(x_copy));
  }
  void scale(int64_t count, float factor, Activation x) override {
    for (int64_t i = 0; i < count; ++i) out(x)[i] *= factor;
  }
  void take_columns(int64_t M, const ColumnRuns& runs, ConstActivation whole, Activation part) override {
    for (int64_t m = 0; m < M; ++m)
      for (int64_t i = 0; i < runs.count * runs.run; ++i)
        out(part)[m * runs.count * runs.run + i] = in(whole)[m * runs.width + runs.begin + i / runs.run * runs.stride + i % runs.run];
  }
  void put_columns(int64_t M, const ColumnRuns& runs, ConstActivation part, Activation whole) override {
    for (int64_t m = 0; m < M; ++m)
      for (int64_t i = 0; i < runs.count * runs.run; ++i)
        out(whole)[m * runs.width + runs.begin + i / runs.run * runs.stride + i % runs.run] = in(part)[m * runs.count * runs.run + i];
  }
  void copy(int64_t count, const float* from, float* to) override { std::copy_n(from, count, to); }
  void zero(int64_t count, float* x) override { std::fill_n(x, count, 0.0f); }
  double sum_of_squares(std::span<const float> x) override {
    double sum = 0;
    for (float value : x) sum += static_cast<double>(value) * value;
    return sum;
  }
  void gradient_terms(float mu, std::span<const float> parameter, std::span<const float> anchor, std::span<const float> correction,
                      std::span<float> gradient) override {
    const auto from = [](std::span<const float> x) { return x.empty() ? nullptr : x.data(); };
    ref::gradient_terms<float>(mu, static_cast<int64_t>(gradient.size()), parameter.data(), from(anchor), from(correction),
                               gradient.data());
  }
  void adamw(const AdamWStep& step, std::span<float> parameter, std::span<float> gradient, std::span<float> moment1,
             std::span<float> moment2) override {
    ref::adamw<float>(step, static_cast<int64_t>(parameter.size()), parameter.data(), gradient.data(), moment1.data(), moment2.data());
  }
  void sgd(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, std::span<float> parameter,
           std::span<float> gradient, std::span<float> momentum_buffer) override {
    ref::sgd<float>(learning_rate, momentum, weight_decay, grad_scale, first_step, static_cast<int64_t>(parameter.size()), parameter.data(),
                    gradient.data(), momentum_buffer.data());
  }
  size_t scratch_bytes() const override { return 0; }

 private:
  static const float* in(ConstActivation x) { return static_cast<const float*>(x); }
  static float* out(Activation x) { return static_cast<float*>(x); }
  static std::vector<float> dense(const Matrix& matrix) {
    std::vector<float> values(static_cast<size_t>(matrix.elements()));
    decode(matrix, 0, matrix.elements(), values.data());
    return values;
  }
  static std::vector<ref::Adapter<float>> adapters(std::span<const Segment> segments, size_t target) {
    std::vector<ref::Adapter<float>> list;
    for (const Segment& segment : segments) {
      const LoraPair& pair = segment.pairs[target];
      if (pair.rank > 0)
        list.push_back({segment.row_begin, segment.row_end, pair.rank, pair.scaling, pair.A, pair.B, pair.d_A, pair.d_B, pair.dropout,
                        pair.dropout_seed, pair.dropout_stream, pair.frozen.rank, pair.frozen.A, pair.frozen.B});
    }
    return list;
  }
};

}  // namespace fedlora
