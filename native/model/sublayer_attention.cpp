// The attention sublayer.
//
//   x += delta   n = norm(x)   q, k, v = n·W + LoRA   (q, k = norm of each head)   q, k = rope(q, k)   o = attention(q, k, v)
//   out = o·W_o + LoRA
#include "model/sublayers.h"

namespace fedlora {

namespace {
AttentionShape shape_of(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  return {d.heads, d.kv_heads, d.head_dim, d.attention_scale, d.layers[static_cast<size_t>(layer)].window};
}

/// `inverse` turns gradients back.
void rotate(const Pass& pass, int64_t layer, bool inverse, Activation q, Activation k) {
  const Description& d = pass.description();
  const int index = d.layers[static_cast<size_t>(layer)].rope;
  if (index < 0) return;
  const RopeTable& table = pass.workspace.ropes[static_cast<size_t>(index)];
  pass.backend.rope(pass.M(), d.heads, d.head_dim, pass.batch.positions, table.cosine(), table.sine(), inverse, q);
  pass.backend.rope(pass.M(), d.kv_heads, d.head_dim, pass.batch.positions, table.cosine(), table.sine(), inverse, k);
}
}  // namespace

void attention_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out) {
  const Description& d = pass.description();
  const LayerWeights& weights = pass.layer(layer);
  const SavedBlock& block = pass.block(layer);
  const Activation normed = pass.buffers.normed;
  const int64_t M = pass.M();

  pass.backend.rms_norm_forward(M, d.hidden, x, delta, weights.input_norm.data(), d.norm_epsilon, normed, block.rstd1, block.x1);
  if (d.query_key_norm == QueryKeyNorm::head) {
    linear_forward(pass, layer, attention_in, normed, {block.q_raw, block.k_raw, block.v});
    pass.backend.row_norm_forward(M * d.heads, d.head_dim, block.q_raw, weights.q_norm.data(), d.norm_epsilon, block.q, block.q_rstd);
    pass.backend.row_norm_forward(M * d.kv_heads, d.head_dim, block.k_raw, weights.k_norm.data(), d.norm_epsilon, block.k, block.k_rstd);
  } else {
    linear_forward(pass, layer, attention_in, normed, {block.q, block.k, block.v});
  }
  rotate(pass, layer, false, block.q, block.k);
  if (pass.rows == Rows::one)
    pass.backend.attention_decode(shape_of(pass, layer), pass.cache->length + 1, block.q, pass.cache->key(layer, 0),
                                  pass.cache->value(layer, 0), block.o);
  else
    pass.backend.attention_forward(shape_of(pass, layer), pass.batch.offsets, block.q, block.k, block.v, block.o, block.lse);
  linear_forward(pass, layer, attention_out, block.o, {out});
}

void attention_backward(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  const LayerWeights& weights = pass.layer(layer);
  const SavedBlock& block = pass.block(layer);
  const StepBuffers& b = pass.buffers;
  const int64_t M = pass.M();

  const Activation d_o = b.d_input;
  linear_backward(pass, layer, attention_out, block.o, {b.d_delta}, d_o);
  pass.backend.attention_backward(shape_of(pass, layer), pass.batch.offsets, block.q, block.k, block.v, block.o, block.lse, d_o, b.d_q,
                                  b.d_k, b.d_v);
  rotate(pass, layer, true, b.d_q, b.d_k);
  if (d.query_key_norm == QueryKeyNorm::head) {
    pass.backend.row_norm_backward(M * d.heads, d.head_dim, b.d_q, block.q_raw, block.q_rstd, weights.q_norm.data(), b.d_q);
    pass.backend.row_norm_backward(M * d.kv_heads, d.head_dim, b.d_k, block.k_raw, block.k_rstd, weights.k_norm.data(), b.d_k);
  }

  const bool lowest = layer == pass.pairs.lowest_trained();  // nothing trains below
  const Activation d_normed = lowest ? nullptr : b.d_input;
  pass.backend.rms_norm_rebuild(M, d.hidden, block.x1, block.rstd1, weights.input_norm.data(), b.normed);
  linear_backward(pass, layer, attention_in, b.normed, {b.d_q, b.d_k, b.d_v}, d_normed);
  if (lowest) return;
  pass.backend.rms_norm_backward(M, d.hidden, d_normed, block.x1, block.rstd1, weights.input_norm.data(), b.d_x, b.d_delta);
}

}  // namespace fedlora
