// The attention sublayer.
//
//   x += delta   n = norm(x)   q, k, v = n·W + LoRA   (q, k = norm of each head)   q, k = rope(q, k)   o = attention(q, k, v)
//   out = o·W_o + LoRA
#include "model/sublayers.h"

namespace fedlora {

namespace {
AttentionShape shape_of(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  return {d.heads, d.kv_heads, d.head_dim, d.attention_scale, pass.block_spec(layer).attention.window};
}

/// A norm of queries or keys before their rotation.
struct ProjectionNorm {
  int64_t rows, width;
  const float* weight;
  Activation raw, y, d;  // what it reads and gives; the gradient, in place
  float* rstd;
};
std::vector<ProjectionNorm> projection_norms(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  const AttentionSpec& spec = pass.block_spec(layer).attention;
  const LayerWeights& weights = pass.layer(layer);
  const SavedBlock& block = pass.block(layer);
  std::vector<ProjectionNorm> norms;
  if (spec.q_norm.present())
    norms.push_back({pass.M() * d.query_width() / spec.q_norm.width, spec.q_norm.width, weights.norm[q_norm].weight.data(), block.q_raw,
                     block.q, pass.buffers.d_q, block.q_rstd});
  if (spec.k_norm.present())
    norms.push_back({pass.M() * d.kv_width() / spec.k_norm.width, spec.k_norm.width, weights.norm[k_norm].weight.data(), block.k_raw,
                     block.k, pass.buffers.d_k, block.k_rstd});
  return norms;
}

/// `inverse` turns gradients back.
void rotate(const Pass& pass, int64_t layer, bool inverse, Activation q, Activation k) {
  const Description& d = pass.description();
  const int index = pass.block_spec(layer).attention.rope;
  if (index < 0) return;
  const RopeTable& table = pass.workspace.ropes[static_cast<size_t>(index)];
  pass.backend.rope(pass.M(), d.heads, d.head_dim, pass.batch.positions, table.cosine(), table.sine(), inverse, q);
  pass.backend.rope(pass.M(), d.kv_heads, d.head_dim, pass.batch.positions, table.cosine(), table.sine(), inverse, k);
}
}  // namespace

void attention_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out) {
  const Description& d = pass.description();
  const Buffer<float>& norm = pass.layer(layer).norm[before_attention].weight;
  const SavedBlock& block = pass.block(layer);
  const Activation normed = pass.buffers.normed;
  const int64_t M = pass.M();

  pass.backend.rms_norm_forward(M, d.hidden, x, delta, norm.data(), d.norm_epsilon, normed, block.rstd1, block.x1);
  linear_forward(pass, layer, attention_in, normed,
                 {block.q_raw != nullptr ? block.q_raw : block.q, block.k_raw != nullptr ? block.k_raw : block.k, block.v});
  for (const ProjectionNorm& projection : projection_norms(pass, layer))
    pass.backend.row_norm_forward(projection.rows, projection.width, projection.raw, projection.weight, d.norm_epsilon, projection.y,
                                  projection.rstd);
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
  const Buffer<float>& norm = pass.layer(layer).norm[before_attention].weight;
  const SavedBlock& block = pass.block(layer);
  const StepBuffers& b = pass.buffers;
  const int64_t M = pass.M();

  const Activation d_o = b.d_input;
  linear_backward(pass, layer, attention_out, block.o, {b.d_delta}, d_o);
  pass.backend.attention_backward(shape_of(pass, layer), pass.batch.offsets, block.q, block.k, block.v, block.o, block.lse, d_o, b.d_q,
                                  b.d_k, b.d_v);
  rotate(pass, layer, true, b.d_q, b.d_k);
  for (const ProjectionNorm& projection : projection_norms(pass, layer))
    pass.backend.row_norm_backward(projection.rows, projection.width, projection.d, projection.raw, projection.rstd, projection.weight,
                                   projection.d);

  const bool lowest = layer == pass.pairs.lowest_trained();  // nothing trains below
  const Activation d_normed = lowest ? nullptr : b.d_input;
  pass.backend.rms_norm_rebuild(M, d.hidden, block.x1, block.rstd1, norm.data(), b.normed);
  linear_backward(pass, layer, attention_in, b.normed, {b.d_q, b.d_k, b.d_v}, d_normed);
  if (lowest) return;
  pass.backend.rms_norm_backward(M, d.hidden, d_normed, block.x1, block.rstd1, norm.data(), b.d_x, b.d_delta);
}

}  // namespace fedlora
