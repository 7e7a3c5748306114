// The MLP sublayer.
//
//   x += delta   n = norm(x)   gate, up = n·W + LoRA   h = activate(gate)∘up   out = h·W_down + LoRA   (out = norm(out))
//
// A fused gate and up are one linear layer, as q, k and v may be. Without a gate h = activate(n·W + LoRA), and `gate` holds what is
// activated. Parallel to attention, n is made from the stream at the block's entry, and what attention gave is added afterwards.
#include "model/sublayers.h"

namespace fedlora {

namespace {
bool fused(const Pass& pass, int64_t layer) { return pass.description().gated && pass.block_spec(layer).mlp.in.size() == 1; }

const NormWeights& norm_of(const Pass& pass, int64_t layer) {
  const LayerWeights& weights = pass.layer(layer);
  return pass.description().parallel && weights.norm[before_mlp].weight.empty() ? weights.norm[before_attention] : weights.norm[before_mlp];
}

/// Where gate and up lie in the rows of a fused projection.
ColumnRuns piece(const Description& d, int64_t index) { return {2 * d.intermediate, index * d.intermediate, d.intermediate}; }

/// block.gate and block.up from what the sublayer reads.
void gate_up_forward(const Pass& pass, int64_t layer, ConstActivation n) {
  const Description& d = pass.description();
  const SavedBlock& block = pass.block(layer);
  if (!d.gated) return linear_forward(pass, layer, mlp_in, n, {block.gate});
  if (!fused(pass, layer)) return linear_forward(pass, layer, mlp_in, n, {block.gate, block.up});
  linear_forward(pass, layer, mlp_in, n, {pass.buffers.fused});
  pass.backend.take_columns(pass.M(), piece(d, 0), pass.buffers.fused, block.gate);
  pass.backend.take_columns(pass.M(), piece(d, 1), pass.buffers.fused, block.up);
}

void activate(const Pass& pass, int64_t layer, Activation hidden) {
  const Description& d = pass.description();
  const SavedBlock& block = pass.block(layer);
  const int64_t elements = pass.M() * d.intermediate;
  if (d.gated)
    pass.backend.glu_forward(d.activation, elements, block.gate, block.up, hidden);
  else
    pass.backend.activate_forward(d.activation, elements, block.gate, hidden);
}

void gate_up_backward(const Pass& pass, int64_t layer, ConstActivation n, ConstActivation d_gate, ConstActivation d_up, Activation d_n) {
  const Description& d = pass.description();
  if (!d.gated) return linear_backward(pass, layer, mlp_in, n, {d_gate}, d_n);
  if (!fused(pass, layer)) return linear_backward(pass, layer, mlp_in, n, {d_gate, d_up}, d_n);
  pass.backend.put_columns(pass.M(), piece(d, 0), d_gate, pass.buffers.fused);
  pass.backend.put_columns(pass.M(), piece(d, 1), d_up, pass.buffers.fused);
  linear_backward(pass, layer, mlp_in, n, {pass.buffers.fused}, d_n);
}
}  // namespace

void mlp_gate_up(const Pass& pass, int64_t layer, float* x, ConstActivation delta) {
  const SavedBlock& block = pass.block(layer);
  const bool parallel = pass.description().parallel;
  gate_up_forward(pass, layer, enter_sublayer(pass, norm_of(pass, layer), x, parallel ? nullptr : delta, block.rstd2, block.x2));
  if (parallel) pass.backend.residual_add(pass.M() * pass.description().hidden, x, delta, nullptr);
}

void mlp_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out) {
  const SavedBlock& block = pass.block(layer);
  const Activation hidden = pass.buffers.hidden;
  mlp_gate_up(pass, layer, x, delta);
  activate(pass, layer, hidden);
  const Activation raw = block.down != nullptr ? block.down : out;
  linear_forward(pass, layer, mlp_out, hidden, {raw});
  leave_sublayer(pass, pass.layer(layer).norm[after_mlp], raw, block.down_rstd, out);
}

void mlp_gate_up_again(const Pass& pass, int64_t layer) {
  const SavedBlock& block = pass.block(layer);
  gate_up_forward(pass, layer, enter_again(pass, norm_of(pass, layer), block.rstd2, block.x2));
}

void mlp_backward(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  const LayerWeights& weights = pass.layer(layer);
  const SavedBlock& block = pass.block(layer);
  const StepBuffers& b = pass.buffers;
  const int64_t elements = pass.M() * d.intermediate;

  leave_backward(pass, weights.norm[after_mlp], block.down, block.down_rstd);
  const Activation d_hidden = b.d_input;
  activate(pass, layer, b.hidden);
  linear_backward(pass, layer, mlp_out, b.hidden, {b.d_delta}, d_hidden);
  const Activation d_gate = block.gate, d_up = block.up;  // over the values themselves
  if (d.gated)
    pass.backend.glu_backward(d.activation, elements, block.gate, block.up, d_hidden, d_gate, d_up, nullptr);
  else
    pass.backend.activate_backward(d.activation, elements, block.gate, d_hidden, d_gate);

  const NormWeights& norm = norm_of(pass, layer);
  const ConstActivation n = enter_again(pass, norm, block.rstd2, block.x2);
  gate_up_backward(pass, layer, n, d_gate, d_up, b.d_input);
  // In parallel, attention needs the gradient of the stream after the block, rounded, as it is.
  enter_backward(pass, norm, block.rstd2, block.x2, d.parallel ? nullptr : b.d_delta);
}

}  // namespace fedlora
