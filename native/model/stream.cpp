// Between the residual stream and a sublayer:   x += delta   n = norm(x), or x   …   delta = multiplier·norm(raw), or raw
#include "model/sublayers.h"

namespace fedlora {

namespace {
int64_t elements(const Pass& pass) { return pass.M() * pass.description().hidden; }
}  // namespace

void norm_forward(const Pass& pass, const NormWeights& norm, float* x, ConstActivation delta, Activation y, float* rstd, Activation saved) {
  const Description& d = pass.description();
  if (d.norm == NormKind::layer)
    pass.backend.layer_norm_forward(pass.M(), d.hidden, x, delta, norm.weight.data(), norm.bias.data(), d.norm_epsilon, y, rstd, saved);
  else
    pass.backend.rms_norm_forward(pass.M(), d.hidden, x, delta, norm.weight.data(), d.norm_epsilon, y, rstd, saved);
}

void norm_backward(const Pass& pass, const NormWeights& norm, ConstActivation d_y, ConstActivation saved, const float* rstd, float* d_x,
                   Activation d_copy) {
  const Description& d = pass.description();
  if (d.norm == NormKind::layer)
    pass.backend.layer_norm_backward(pass.M(), d.hidden, d_y, saved, rstd, norm.weight.data(), d_x, d_copy);
  else
    pass.backend.rms_norm_backward(pass.M(), d.hidden, d_y, saved, rstd, norm.weight.data(), d_x, d_copy);
}

ConstActivation enter_sublayer(const Pass& pass, const NormWeights& norm, float* x, ConstActivation delta, float* rstd, Activation saved) {
  if (norm.weight.empty()) {
    pass.backend.residual_add(elements(pass), x, delta, saved);
    return saved;
  }
  norm_forward(pass, norm, x, delta, pass.buffers.normed, rstd, saved);
  return pass.buffers.normed;
}

ConstActivation enter_again(const Pass& pass, const NormWeights& norm, const float* rstd, ConstActivation saved) {
  if (norm.weight.empty()) return saved;
  const Description& d = pass.description();
  if (d.norm == NormKind::layer)
    pass.backend.layer_norm_rebuild(pass.M(), d.hidden, saved, rstd, norm.weight.data(), norm.bias.data(), pass.buffers.normed);
  else
    pass.backend.rms_norm_rebuild(pass.M(), d.hidden, saved, rstd, norm.weight.data(), pass.buffers.normed);
  return pass.buffers.normed;
}

void enter_backward(const Pass& pass, const NormWeights& norm, const float* rstd, ConstActivation saved, Activation d_copy) {
  const StepBuffers& b = pass.buffers;
  if (norm.weight.empty())
    pass.backend.residual_add(elements(pass), b.d_x, b.d_input, d_copy);
  else
    norm_backward(pass, norm, b.d_input, saved, rstd, b.d_x, d_copy);
}

void leave_sublayer(const Pass& pass, const NormWeights& norm, Activation raw, float* rstd, Activation out) {
  const Description& d = pass.description();
  if (!norm.weight.empty()) pass.backend.row_norm_forward(pass.M(), d.hidden, raw, norm.weight.data(), d.norm_epsilon, out, rstd);
  if (d.residual_multiplier != 1) pass.backend.scale(elements(pass), d.residual_multiplier, out);
}

void leave_backward(const Pass& pass, const NormWeights& norm, ConstActivation raw, const float* rstd) {
  const Description& d = pass.description();
  const Activation d_out = pass.buffers.d_delta;
  if (d.residual_multiplier != 1) pass.backend.scale(elements(pass), d.residual_multiplier, d_out);
  if (!norm.weight.empty()) pass.backend.row_norm_backward(pass.M(), d.hidden, d_out, raw, rstd, norm.weight.data(), d_out);
}

}  // namespace fedlora
