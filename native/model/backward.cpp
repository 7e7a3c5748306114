// The backward pass of one block. On entry `x` holds the f32 gradient of the residual stream after the block, `delta` the same rounded;
// on exit both hold it before the block.
#include <cstring>
#include <utility>

#include "model/transformer.h"

namespace fedlora {

void Transformer::block_backward(int64_t layer, const Batch& batch) {
  check_cancelled();
  const Description& d = description();
  const LayerWeights& weights = weights_->layers[static_cast<size_t>(layer)];
  SavedBlock& block = buffers_.blocks[static_cast<size_t>(layer)];
  const int64_t M = batch.tokens();
  const bool head_norm = d.query_key_norm == QueryKeyNorm::head;

  if (shape_.recompute == Recompute::all) {
    // The block once more, from the residual stream at its entry; x and delta hold gradients now and are kept aside.
    // x_entry serves as the stream itself: this is its last use.
    std::swap(block.x_entry, buffers_.x);
    float* gradient = block.x_entry;
    std::memcpy(buffers_.d_wide, buffers_.delta, static_cast<size_t>(M * d.hidden) * (shape_.compute == Compute::bf16 ? 2 : 4));
    block.x_entry = nullptr;
    attention_half(layer, batch, nullptr, block);
    mlp_half(layer, M, block, false);
    std::memcpy(buffers_.delta, buffers_.d_wide, static_cast<size_t>(M * d.hidden) * (shape_.compute == Compute::bf16 ? 2 : 4));
    buffers_.x = gradient;
  } else if (shape_.recompute == Recompute::gate_up) {
    backend_->rms_norm_rebuild(M, d.hidden, block.x2, block.rstd2, weights.mlp_norm.data(), buffers_.normed);
    const Activation gate_up[2] = {block.gate, block.up};
    linear_forward(layer, linear_gate, 2, M, buffers_.normed, gate_up, block);
  }

  // MLP: delta = h·W_down, h = activate(gate)∘up, gate and up from the normed x2.
  backend_->glu_forward(d.activation, M * d.intermediate, block.gate, block.up, buffers_.hidden);
  linear_backward(layer, linear_down, 1, M, buffers_.hidden, &buffers_.delta, block, buffers_.d_wide);
  backend_->glu_backward(d.activation, M * d.intermediate, block.gate, block.up, buffers_.d_wide, block.gate, block.up, nullptr);
  backend_->rms_norm_rebuild(M, d.hidden, block.x2, block.rstd2, weights.mlp_norm.data(), buffers_.normed);
  const Activation d_gate_up[2] = {block.gate, block.up};
  linear_backward(layer, linear_gate, 2, M, buffers_.normed, d_gate_up, block, buffers_.delta);
  backend_->rms_norm_backward(M, d.hidden, buffers_.delta, block.x2, block.rstd2, weights.mlp_norm.data(), buffers_.x, buffers_.normed);
  std::swap(buffers_.normed, buffers_.delta);

  // Attention: delta = o·W_o, o from q, k, v of the normed x1.
  linear_backward(layer, linear_o, 1, M, block.o, &buffers_.delta, block, buffers_.d_wide);
  backend_->attention_backward(attention_shape(layer), batch.offsets, block.q, block.k, block.v, block.o, block.lse, buffers_.d_wide,
                               buffers_.d_q, buffers_.d_k, buffers_.d_v);
  rotate(layer, d.heads, M, batch.positions, true, buffers_.d_q);
  rotate(layer, d.kv_heads, M, batch.positions, true, buffers_.d_k);
  if (head_norm) {
    backend_->row_norm_backward(M * d.heads, d.head_dim, buffers_.d_q, block.q_raw, block.q_rstd, weights.q_norm.data(), buffers_.d_q);
    backend_->row_norm_backward(M * d.kv_heads, d.head_dim, buffers_.d_k, block.k_raw, block.k_rstd, weights.k_norm.data(), buffers_.d_k);
  }
  backend_->rms_norm_rebuild(M, d.hidden, block.x1, block.rstd1, weights.input_norm.data(), buffers_.normed);
  const Activation d_qkv[3] = {buffers_.d_q, buffers_.d_k, buffers_.d_v};
  const bool first = layer == 0;  // nothing trains below the first block
  linear_backward(layer, linear_q, 3, M, buffers_.normed, d_qkv, block, first ? nullptr : buffers_.delta);
  if (first) return;
  backend_->rms_norm_backward(M, d.hidden, buffers_.delta, block.x1, block.rstd1, weights.input_norm.data(), buffers_.x, buffers_.normed);
  std::swap(buffers_.normed, buffers_.delta);
}

}  // namespace fedlora
