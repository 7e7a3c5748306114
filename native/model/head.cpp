// From the last block to logits or losses:   normed = norm(x + delta)   logits = normed·Headᵀ / divider
#include "model/sublayers.h"

namespace fedlora {

namespace {
LogitShape logit_shape(const Pass& pass) {
  const Description& d = pass.description();
  return {d.logits_divider, d.logit_soft_cap, d.head_bias ? pass.weights.head_bias.data() : nullptr};
}

/// grad_scale of the segment that each supervised row belongs to, times the row's weight; 0 outside all.
std::vector<float> row_scales(const Pass& pass) {
  const std::vector<int32_t>& rows = pass.batch.supervised;
  std::vector<float> scales(rows.size(), 0.0f);
  for (const AdapterSegment& segment : pass.segments)
    for (size_t i = 0; i < rows.size(); ++i)
      if (rows[i] >= segment.row_begin && rows[i] < segment.row_end) scales[i] = segment.grad_scale * pass.batch.weight(i);
  return scales;
}
}  // namespace

void final_norm_forward(const Pass& pass) {
  const StepBuffers& b = pass.buffers;
  norm_forward(pass, pass.weights.final_norm, b.x, b.delta, b.normed, b.rstd_final, b.x_final);
}

void head_loss(const Pass& pass) {
  const Description& d = pass.description();
  const StepBuffers& b = pass.buffers;
  const std::vector<int32_t>& rows = pass.batch.supervised;
  if (rows.empty()) return;
  const bool training = pass.shape.training;
  const Activation d_rows = training ? b.head_rows : nullptr;  // over the rows themselves
  pass.backend.gather_rows(d.hidden, rows, b.normed, b.head_rows);
  pass.backend.linear_cross_entropy(static_cast<int64_t>(rows.size()), b.head_rows, pass.weights.output_head(), logit_shape(pass),
                                    pass.batch.targets, training ? row_scales(pass) : std::vector<float>(), b.losses, b.correct, d_rows);
  if (!training) return;
  const Activation d_normed = b.d_input;
  pass.backend.scatter_rows(pass.M(), d.hidden, rows, d_rows, d_normed);
  pass.backend.zero(pass.M() * d.hidden, b.d_x);
  norm_backward(pass, pass.weights.final_norm, d_normed, b.x_final, b.rstd_final, b.d_x, b.d_delta);
}

RowLosses::RowLosses(const Pass& pass)
    : batch_(pass.batch),
      losses_(*pass.backend.memory(), pass.buffers.losses, pass.batch.supervised.size()),
      correct_(*pass.backend.memory(), pass.buffers.correct, pass.batch.supervised.size()) {}

LossSums RowLosses::sum(int64_t row_begin, int64_t row_end) const {
  LossSums sums{0, 0, 0, row_end - row_begin};
  for (size_t i = 0; i < batch_.supervised.size(); ++i) {
    const int32_t row = batch_.supervised[i];
    if (row < row_begin || row >= row_end) continue;
    sums.loss += static_cast<double>(batch_.weight(i)) * static_cast<double>(losses_[i]);
    sums.correct += correct_[i];
    ++sums.supervised;
  }
  return sums;
}

void all_logits(const Pass& pass, float* logits) {
  pass.backend.head_logits(pass.M(), pass.buffers.normed, pass.weights.output_head(), logit_shape(pass), logits);
}

void last_logits(const Pass& pass, float* logits) {
  const Description& d = pass.description();
  const StepBuffers& b = pass.buffers;
  const auto last = static_cast<int32_t>(pass.M() - 1);
  pass.backend.gather_rows(d.hidden, {&last, 1}, b.normed, b.head_rows);
  if (pass.rows == Rows::one)
    pass.backend.head_logits_decode(b.head_rows, pass.weights.output_head(), logit_shape(pass), logits);
  else
    pass.backend.head_logits(1, b.head_rows, pass.weights.output_head(), logit_shape(pass), logits);
}

}  // namespace fedlora
