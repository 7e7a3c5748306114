// The attention sublayer.
//
//   x += delta   n = norm(x)   q, k, v = n·W + LoRA   (q, k = norm(q, k))   q, k = rope(q, k)   o = attention(q, k, v)
//   out = o·W_o + LoRA   (out = norm(out))
//
// q, k and v of a fused projection are one linear layer, with one adapter: its rows are taken apart, and its gradient is put together.
#include <array>

#include "model/sublayers.h"

namespace fedlora {

namespace {
/// δ is summed in models of LayerNorm: their v has a bias, and what its rows have in common cancels in d_o·v − δ, where the rounding of o
/// would be left.
AttentionShape shape_of(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  return {d.heads,
          d.kv_heads,
          d.head_dim,
          d.attention_scale,
          pass.block_spec(layer).attention.window,
          d.attention_soft_cap,
          d.alibi_slopes.empty() ? nullptr : d.alibi_slopes.data(),
          d.norm == NormKind::layer};
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

/// One of q and k. `inverse` turns gradients back.
void rotate(const Pass& pass, int rope, int heads, bool inverse, Activation x) {
  if (rope < 0) return;
  const RopeTable& table = pass.workspace.ropes[static_cast<size_t>(rope)];
  pass.backend.rope(pass.M(), heads, pass.description().head_dim, table.rotary_dim(), pass.rows_of_rope(rope), table.cosine(), table.sine(),
                    inverse, x);
}

void rotate(const Pass& pass, int64_t layer, bool inverse, Activation q, Activation k) {
  const Description& d = pass.description();
  const AttentionSpec& spec = pass.block_spec(layer).attention;
  rotate(pass, spec.query_rope, d.heads, inverse, q);
  rotate(pass, spec.rope, d.kv_heads, inverse, k);
}

/// Where q, k and v lie in the rows of a fused projection.
std::array<ColumnRuns, 3> pieces(const Description& d, const AttentionSpec& spec) {
  if (spec.by_head) {
    const int64_t D = d.head_dim, width = 3 * D * d.heads;
    return {ColumnRuns{width, 0, D, 3 * D, d.heads}, ColumnRuns{width, D, D, 3 * D, d.heads}, ColumnRuns{width, 2 * D, D, 3 * D, d.heads}};
  }
  const int64_t q = d.query_width(), kv = d.kv_width(), width = q + 2 * kv;
  return {ColumnRuns{width, 0, q}, ColumnRuns{width, q, kv}, ColumnRuns{width, q + kv, kv}};
}
}  // namespace

void attention_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out) {
  const Description& d = pass.description();
  const LayerWeights& weights = pass.layer(layer);
  const SavedBlock& block = pass.block(layer);
  const int64_t M = pass.M();

  const ConstActivation n = enter_sublayer(pass, weights.norm[before_attention], x, delta, block.rstd1, block.x1);
  const Activation q = block.q_raw != nullptr ? block.q_raw : block.q, k = block.k_raw != nullptr ? block.k_raw : block.k;
  if (pass.block_spec(layer).attention.in.size() == 1) {
    linear_forward(pass, layer, attention_in, n, {pass.buffers.fused});
    const std::array<ColumnRuns, 3> runs = pieces(d, pass.block_spec(layer).attention);
    pass.backend.take_columns(M, runs[0], pass.buffers.fused, q);
    pass.backend.take_columns(M, runs[1], pass.buffers.fused, k);
    pass.backend.take_columns(M, runs[2], pass.buffers.fused, block.v);
  } else {
    linear_forward(pass, layer, attention_in, n, {q, k, block.v});
  }
  for (const ProjectionNorm& projection : projection_norms(pass, layer))
    pass.backend.row_norm_forward(projection.rows, projection.width, projection.raw, projection.weight, d.norm_epsilon, projection.y,
                                  projection.rstd);
  rotate(pass, layer, false, block.q, block.k);
  if (pass.rows == Rows::one)
    pass.backend.attention_decode(shape_of(pass, layer), pass.cache->length + 1, block.q, pass.cache->key(layer, 0),
                                  pass.cache->value(layer, 0), block.o);
  else
    pass.backend.attention_forward(shape_of(pass, layer), pass.batch.offsets, block.q, block.k, block.v, block.o, block.lse);
  const Activation raw = block.attended != nullptr ? block.attended : out;
  linear_forward(pass, layer, attention_out, block.o, {raw});
  leave_sublayer(pass, weights.norm[after_attention], raw, block.attended_rstd, out);
}

void attention_backward(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  const LayerWeights& weights = pass.layer(layer);
  const SavedBlock& block = pass.block(layer);
  const StepBuffers& b = pass.buffers;
  const int64_t M = pass.M();

  leave_backward(pass, weights.norm[after_attention], block.attended, block.attended_rstd);
  const Activation d_o = b.d_input;
  linear_backward(pass, layer, attention_out, block.o, {b.d_delta}, d_o);
  pass.backend.attention_backward(shape_of(pass, layer), pass.batch.offsets, block.q, block.k, block.v, block.o, block.lse, d_o, b.d_q,
                                  b.d_k, b.d_v);
  rotate(pass, layer, true, b.d_q, b.d_k);
  for (const ProjectionNorm& projection : projection_norms(pass, layer))
    pass.backend.row_norm_backward(projection.rows, projection.width, projection.d, projection.raw, projection.rstd, projection.weight,
                                   projection.d);

  const bool lowest = layer == pass.pairs.lowest_trained();  // nothing trains below
  const Activation d_n = lowest ? nullptr : b.d_input;
  const ConstActivation n = enter_again(pass, weights.norm[before_attention], block.rstd1, block.x1);
  if (pass.block_spec(layer).attention.in.size() == 1) {
    const std::array<ColumnRuns, 3> runs = pieces(d, pass.block_spec(layer).attention);
    pass.backend.put_columns(M, runs[0], b.d_q, b.fused);
    pass.backend.put_columns(M, runs[1], b.d_k, b.fused);
    pass.backend.put_columns(M, runs[2], b.d_v, b.fused);
    linear_backward(pass, layer, attention_in, n, {b.fused}, d_n);
  } else {
    linear_backward(pass, layer, attention_in, n, {b.d_q, b.d_k, b.d_v}, d_n);
  }
  if (!lowest) enter_backward(pass, weights.norm[before_attention], block.rstd1, block.x1, b.d_delta);
}

}  // namespace fedlora
