// The gated MLP sublayer.
//
//   x += delta   n = norm(x)   gate, up = n·W + LoRA   h = activate(gate)∘up   out = h·W_down + LoRA
#include "model/sublayers.h"

namespace fedlora {

void mlp_gate_up(const Pass& pass, int64_t layer, float* x, ConstActivation delta) {
  const Description& d = pass.description();
  const SavedBlock& block = pass.block(layer);
  const Activation normed = pass.buffers.normed;
  pass.backend.rms_norm_forward(pass.M(), d.hidden, x, delta, pass.layer(layer).norm[before_mlp].weight.data(), d.norm_epsilon, normed,
                                block.rstd2, block.x2);
  linear_forward(pass, layer, mlp_in, normed, {block.gate, block.up});
}

void mlp_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out) {
  const Description& d = pass.description();
  const SavedBlock& block = pass.block(layer);
  const Activation hidden = pass.buffers.hidden;
  mlp_gate_up(pass, layer, x, delta);
  pass.backend.glu_forward(d.activation, pass.M() * d.intermediate, block.gate, block.up, hidden);
  linear_forward(pass, layer, mlp_out, hidden, {out});
}

void mlp_gate_up_again(const Pass& pass, int64_t layer) {
  const SavedBlock& block = pass.block(layer);
  const Activation normed = pass.buffers.normed;
  pass.backend.rms_norm_rebuild(pass.M(), pass.description().hidden, block.x2, block.rstd2,
                                pass.layer(layer).norm[before_mlp].weight.data(), normed);
  linear_forward(pass, layer, mlp_in, normed, {block.gate, block.up});
}

void mlp_backward(const Pass& pass, int64_t layer) {
  const Description& d = pass.description();
  const float* norm = pass.layer(layer).norm[before_mlp].weight.data();
  const SavedBlock& block = pass.block(layer);
  const StepBuffers& b = pass.buffers;
  const int64_t M = pass.M(), elements = M * d.intermediate;

  const Activation d_hidden = b.d_input;
  pass.backend.glu_forward(d.activation, elements, block.gate, block.up, b.hidden);
  linear_backward(pass, layer, mlp_out, b.hidden, {b.d_delta}, d_hidden);
  const Activation d_gate = block.gate, d_up = block.up;  // over the values themselves
  pass.backend.glu_backward(d.activation, elements, block.gate, block.up, d_hidden, d_gate, d_up, nullptr);

  const Activation d_normed = b.d_input;
  pass.backend.rms_norm_rebuild(M, d.hidden, block.x2, block.rstd2, norm, b.normed);
  linear_backward(pass, layer, mlp_in, b.normed, {d_gate, d_up}, d_normed);
  pass.backend.rms_norm_backward(M, d.hidden, d_normed, block.x2, block.rstd2, norm, b.d_x, b.d_delta);
}

}  // namespace fedlora
