#include "ref/transformer_ref.h"

#include "ref/attention_ref.h"
#include "ref/cross_entropy_ref.h"
#include "ref/embedding_ref.h"
#include "ref/glu_ref.h"
#include "ref/lora_linear_ref.h"
#include "ref/rms_norm_ref.h"
#include "ref/rope_ref.h"

namespace fedlora::ref {

namespace {
using Tensor = std::vector<double>;

Tensor zeros(int64_t count) { return Tensor(static_cast<size_t>(count)); }

Adapter<double> adapter_of(Linear& layer, int64_t M) {
  Adapter<double> adapter;
  adapter.row_end = M;
  adapter.rank = layer.rank;
  adapter.scaling = layer.scaling;
  adapter.A = layer.A.data();
  adapter.B = layer.B.data();
  return adapter;
}

/// y = linear(x); h [M,R] is kept for the gradient.
Tensor linear(Linear& layer, int64_t M, const Tensor& x, Tensor& h) {
  Tensor y = zeros(M * layer.N);
  h = zeros(M * layer.rank);
  const Adapter<double> adapter = adapter_of(layer, M);
  lora_linear_forward<double>(M, layer.N, layer.K, x.data(), layer.W.data(), layer.bias.empty() ? nullptr : layer.bias.data(),
                              std::span(&adapter, layer.rank > 0 ? 1 : 0), h.data(), layer.rank, y.data());
  return y;
}

/// d_x += the gradient; d_A and d_B of the layer accumulate.
void linear_backward(Linear& layer, int64_t M, const Tensor& x, const Tensor& h, const Tensor& d_y, Tensor& d_x) {
  layer.d_A.resize(layer.A.size());
  layer.d_B.resize(layer.B.size());
  Adapter<double> adapter = adapter_of(layer, M);
  adapter.d_A = layer.d_A.data();
  adapter.d_B = layer.d_B.data();
  Tensor share = zeros(M * layer.K);
  lora_linear_backward<double>(M, layer.N, layer.K, x.data(), layer.W.data(), std::span(&adapter, layer.rank > 0 ? 1 : 0), h.data(),
                               layer.rank, d_y.data(), share.data());
  for (size_t i = 0; i < share.size(); ++i) d_x[i] += share[i];
}

/// Everything a block's backward reads.
struct Saved {
  Tensor x1, rstd1, n1, q_raw, k_raw, q_rstd, k_rstd, q, k, v, o, x2, rstd2, n2, gate, up, h;
  Tensor q_h, k_h, v_h, o_h, gate_h, up_h, down_h;
};

class Runner {
 public:
  Runner(Transformer& model, const TokenBatch& batch) : model_(model), batch_(batch), M_(static_cast<int64_t>(batch.ids.size())) {}

  void block_forward(Block& block, Tensor& x, Saved& s) {
    const AttentionShape shape = shape_of(block);
    s.x1 = x, s.n1 = zeros(M_ * model_.hidden), s.rstd1 = zeros(M_);
    rms_norm_forward<double>(M_, model_.hidden, s.x1.data(), nullptr, block.input_norm.data(), model_.norm_epsilon, s.n1.data(),
                             s.rstd1.data());
    s.q_raw = linear(block.q, M_, s.n1, s.q_h);
    s.k_raw = linear(block.k, M_, s.n1, s.k_h);
    s.v = linear(block.v, M_, s.n1, s.v_h);
    s.q = head_norm(block.q_norm, s.q_raw, s.q_rstd);
    s.k = head_norm(block.k_norm, s.k_raw, s.k_rstd);
    turn(block, shape.heads, s.q, false);
    turn(block, shape.kv_heads, s.k, false);
    s.o = zeros(static_cast<int64_t>(s.q.size()));
    attention_forward<double>(shape, batch_.offsets, s.q.data(), s.k.data(), s.v.data(), s.o.data(), nullptr);
    const Tensor attended = scaled(linear(block.o, M_, s.o, s.o_h));
    s.x2 = x, s.n2 = zeros(M_ * model_.hidden), s.rstd2 = zeros(M_);
    rms_norm_forward<double>(M_, model_.hidden, s.x2.data(), attended.data(), block.post_attention_norm.data(), model_.norm_epsilon,
                             s.n2.data(), s.rstd2.data());
    s.gate = linear(block.gate, M_, s.n2, s.gate_h);
    s.up = linear(block.up, M_, s.n2, s.up_h);
    s.h = zeros(static_cast<int64_t>(s.gate.size()));
    glu_forward<double>(model_.activate, static_cast<int64_t>(s.h.size()), s.gate.data(), s.up.data(), s.h.data());
    const Tensor down = scaled(linear(block.down, M_, s.h, s.down_h));
    x = s.x2;
    for (size_t i = 0; i < x.size(); ++i) x[i] += down[i];
  }

  /// d_x: the residual stream's gradient, in and out.
  void block_backward(Block& block, const Saved& s, Tensor& d_x) {
    const AttentionShape shape = shape_of(block);
    Tensor d_h = zeros(static_cast<int64_t>(s.h.size())), d_gate = d_h, d_up = d_h;
    linear_backward(block.down, M_, s.h, s.down_h, scaled(d_x), d_h);
    glu_backward<double>(model_.activate, static_cast<int64_t>(s.h.size()), s.gate.data(), s.up.data(), d_h.data(), d_gate.data(),
                         d_up.data());
    Tensor d_n2 = zeros(M_ * model_.hidden);
    linear_backward(block.gate, M_, s.n2, s.gate_h, d_gate, d_n2);
    linear_backward(block.up, M_, s.n2, s.up_h, d_up, d_n2);
    rms_norm_backward<double>(M_, model_.hidden, d_n2.data(), s.x2.data(), s.rstd2.data(), block.post_attention_norm.data(), d_x.data());

    Tensor d_o = zeros(static_cast<int64_t>(s.o.size())), d_q = d_o, d_k = zeros(static_cast<int64_t>(s.k.size())), d_v = d_k;
    linear_backward(block.o, M_, s.o, s.o_h, scaled(d_x), d_o);
    attention_backward<double>(shape, batch_.offsets, s.q.data(), s.k.data(), s.v.data(), d_o.data(), d_q.data(), d_k.data(), d_v.data());
    turn(block, shape.heads, d_q, true);
    turn(block, shape.kv_heads, d_k, true);
    d_q = head_norm_backward(block.q_norm, d_q, s.q_raw, s.q_rstd);
    d_k = head_norm_backward(block.k_norm, d_k, s.k_raw, s.k_rstd);
    Tensor d_n1 = zeros(M_ * model_.hidden);
    linear_backward(block.q, M_, s.n1, s.q_h, d_q, d_n1);
    linear_backward(block.k, M_, s.n1, s.k_h, d_k, d_n1);
    linear_backward(block.v, M_, s.n1, s.v_h, d_v, d_n1);
    rms_norm_backward<double>(M_, model_.hidden, d_n1.data(), s.x1.data(), s.rstd1.data(), block.input_norm.data(), d_x.data());
  }

 private:
  /// What a sublayer adds to the stream; the gradient of that.
  Tensor scaled(Tensor x) const {
    for (double& value : x) value *= model_.residual_multiplier;
    return x;
  }

  AttentionShape shape_of(const Block& block) const {
    AttentionShape shape = model_.attention;
    shape.window = block.window;
    return shape;
  }

  void turn(const Block& block, int heads, Tensor& x, bool inverse) {
    if (block.rope < 0) return;
    const Rope& table = model_.ropes[static_cast<size_t>(block.rope)];
    rope<double>(M_, heads, model_.attention.head_dim, batch_.positions, table.cosine.data(), table.sine.data(), inverse, x.data());
  }

  Tensor head_norm(const Tensor& weight, const Tensor& x, Tensor& rstd) {
    if (weight.empty()) return x;
    const int64_t D = model_.attention.head_dim, rows = static_cast<int64_t>(x.size()) / D;
    Tensor same = x, y = zeros(rows * D);
    rstd = zeros(rows);
    rms_norm_forward<double>(rows, D, same.data(), nullptr, weight.data(), model_.norm_epsilon, y.data(), rstd.data());
    return y;
  }

  Tensor head_norm_backward(const Tensor& weight, const Tensor& d_y, const Tensor& x, const Tensor& rstd) {
    if (weight.empty()) return d_y;
    const int64_t D = model_.attention.head_dim, rows = static_cast<int64_t>(x.size()) / D;
    Tensor d_x = zeros(rows * D);
    rms_norm_backward<double>(rows, D, d_y.data(), x.data(), rstd.data(), weight.data(), d_x.data());
    return d_x;
  }

  Transformer& model_;
  const TokenBatch& batch_;
  int64_t M_;
};
}  // namespace

TransformerResult run_transformer(Transformer& model, const TokenBatch& batch, bool backward) {
  const int64_t M = static_cast<int64_t>(batch.ids.size()), hidden = model.hidden, V = model.vocabulary;
  const Tensor& head = model.head.empty() ? model.embedding : model.head;
  const LogitShape head_shape{static_cast<float>(model.logits_divider), static_cast<float>(model.logit_soft_cap)};
  TransformerResult result;
  Runner runner(model, batch);
  std::vector<Saved> saved(model.blocks.size());
  Tensor x = zeros(M * hidden);
  embedding_forward<double>(batch.ids, hidden, model.embedding.data(), model.embedding_multiplier, x.data());
  if (!model.embedding_norm.empty()) {
    Tensor raw = x, rstd = zeros(M);
    rms_norm_forward<double>(M, hidden, raw.data(), nullptr, model.embedding_norm.data(), model.norm_epsilon, x.data(), rstd.data());
  }
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    result.hidden.push_back(x);
    runner.block_forward(model.blocks[i], x, saved[i]);
  }
  Tensor normed = zeros(M * hidden), rstd = zeros(M);
  rms_norm_forward<double>(M, hidden, x.data(), nullptr, model.final_norm.data(), model.norm_epsilon, normed.data(), rstd.data());
  result.hidden.push_back(normed);
  result.logits = zeros(M * V);
  head_logits<double>(M, V, hidden, normed.data(), head.data(), head_shape, result.logits.data());

  int64_t supervised = 0;
  for (int32_t target : batch.targets) supervised += target >= 0;
  Tensor d_normed = zeros(M * hidden);
  for (int64_t m = 0; m < M; ++m) {
    if (batch.targets[m] < 0) continue;
    double loss = 0;
    linear_cross_entropy<double>(1, V, hidden, normed.data() + m * hidden, head.data(), head_shape,
                                 std::span(batch.targets).subspan(static_cast<size_t>(m), 1), 1.0 / static_cast<double>(supervised), &loss,
                                 nullptr, backward ? d_normed.data() + m * hidden : nullptr);
    result.loss += loss / static_cast<double>(supervised);
  }
  if (!backward) return result;

  Tensor d_x = zeros(M * hidden);
  rms_norm_backward<double>(M, hidden, d_normed.data(), x.data(), rstd.data(), model.final_norm.data(), d_x.data());
  for (size_t i = model.blocks.size(); i-- > 0;) runner.block_backward(model.blocks[i], saved[i], d_x);
  return result;
}

}  // namespace fedlora::ref
