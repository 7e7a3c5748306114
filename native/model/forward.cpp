// The forward pass: embedding, blocks, final norm, loss.
#include <cstring>

#include "model/transformer.h"

namespace fedlora {

/// x += delta; q, k and v of the normed x, head norm and rotation applied.
void Transformer::project_qkv(int64_t layer, const Batch& batch, ConstActivation delta, SavedBlock& block) {
  const Description& d = description();
  const LayerWeights& weights = weights_->layers[static_cast<size_t>(layer)];
  const int64_t M = batch.tokens();
  const bool head_norm = d.query_key_norm == QueryKeyNorm::head;
  backend_->rms_norm_forward(M, d.hidden, buffers_.x, delta, weights.input_norm.data(), d.norm_epsilon, buffers_.normed, block.rstd1,
                             block.x1);
  if (block.x_entry != nullptr && block.x_entry != buffers_.x)
    std::memcpy(block.x_entry, buffers_.x, static_cast<size_t>(M * d.hidden) * sizeof(float));
  const Activation qkv[3] = {head_norm ? block.q_raw : block.q, head_norm ? block.k_raw : block.k, block.v};
  linear_forward(layer, linear_q, 3, M, buffers_.normed, qkv, block);
  if (head_norm) {
    backend_->row_norm_forward(M * d.heads, d.head_dim, block.q_raw, weights.q_norm.data(), d.norm_epsilon, block.q, block.q_rstd);
    backend_->row_norm_forward(M * d.kv_heads, d.head_dim, block.k_raw, weights.k_norm.data(), d.norm_epsilon, block.k, block.k_rstd);
  }
  rotate(layer, d.heads, M, batch.positions, false, block.q);
  rotate(layer, d.kv_heads, M, batch.positions, false, block.k);
}

/// project_qkv, attention, and the output projection into `delta`.
void Transformer::attention_half(int64_t layer, const Batch& batch, ConstActivation delta, SavedBlock& block) {
  project_qkv(layer, batch, delta, block);
  backend_->attention_forward(attention_shape(layer), batch.offsets, block.q, block.k, block.v, block.o, block.lse);
  linear_forward(layer, linear_o, 1, batch.tokens(), block.o, &buffers_.delta, block);
}

/// x += delta; gate and up of the normed x; with `write_output`, the down projection into `delta`.
void Transformer::mlp_half(int64_t layer, int64_t M, SavedBlock& block, bool write_output) {
  const Description& d = description();
  const LayerWeights& weights = weights_->layers[static_cast<size_t>(layer)];
  backend_->rms_norm_forward(M, d.hidden, buffers_.x, buffers_.delta, weights.mlp_norm.data(), d.norm_epsilon, buffers_.normed, block.rstd2,
                             block.x2);
  const Activation gate_up[2] = {block.gate, block.up};
  linear_forward(layer, linear_gate, 2, M, buffers_.normed, gate_up, block);
  if (!write_output) return;
  backend_->glu_forward(d.activation, M * d.intermediate, block.gate, block.up, buffers_.hidden);
  linear_forward(layer, linear_down, 1, M, buffers_.hidden, &buffers_.delta, block);
}

/// Leaves the final norm's output of every row in `normed`.
void Transformer::run_blocks(const Batch& batch) {
  const Description& d = description();
  const int64_t M = batch.tokens(), layers = static_cast<int64_t>(d.layers.size());
  backend_->embedding_forward(batch.ids, weights_->embedding, d.embedding_multiplier, buffers_.x);
  for (int64_t l = 0; l < layers; ++l) {
    check_cancelled();
    SavedBlock& block = buffers_.blocks[static_cast<size_t>(l)];
    attention_half(l, batch, l == 0 ? nullptr : buffers_.delta, block);
    mlp_half(l, M, block, true);
  }
  backend_->rms_norm_forward(M, d.hidden, buffers_.x, buffers_.delta, weights_->final_norm.data(), d.norm_epsilon, buffers_.normed,
                             buffers_.rstd_final, buffers_.x_final);
}

/// Losses of the supervised rows; when training, the gradient of the residual stream after the last block: f32 in `x`, rounded in `delta`.
void Transformer::head_loss(const Batch& batch, bool training) {
  const Description& d = description();
  const int64_t M = batch.tokens(), S = static_cast<int64_t>(batch.supervised.size());
  if (S == 0) return;
  row_scales_.assign(training ? batch.supervised.size() : 0, 0.0f);
  for (const AdapterSegment& segment : segments_)
    for (size_t i = 0; i < row_scales_.size(); ++i)
      if (batch.supervised[i] >= segment.row_begin && batch.supervised[i] < segment.row_end) row_scales_[i] = segment.grad_scale;
  backend_->gather_rows(d.hidden, batch.supervised, buffers_.normed, buffers_.head_rows);
  backend_->linear_cross_entropy(S, buffers_.head_rows, weights_->output_head(), d.logits_divider, batch.targets, row_scales_,
                                 buffers_.losses, buffers_.correct, training ? buffers_.head_rows : nullptr);
  if (!training) return;
  backend_->scatter_rows(M, d.hidden, batch.supervised, buffers_.head_rows, buffers_.normed);
  std::memset(buffers_.x, 0, static_cast<size_t>(M * d.hidden) * sizeof(float));
  backend_->rms_norm_backward(M, d.hidden, buffers_.normed, buffers_.x_final, buffers_.rstd_final, weights_->final_norm.data(), buffers_.x,
                              buffers_.delta);
}

/// Of the supervised rows in [row_begin, row_end), in row order.
LossSums Transformer::sum_losses(const Batch& batch, int64_t row_begin, int64_t row_end) const {
  LossSums sums{0, 0, 0, row_end - row_begin};
  for (size_t i = 0; i < batch.supervised.size(); ++i) {
    if (batch.supervised[i] < row_begin || batch.supervised[i] >= row_end) continue;
    sums.loss += buffers_.losses[i];
    sums.correct += buffers_.correct[i];
    ++sums.supervised;
  }
  return sums;
}

}  // namespace fedlora
