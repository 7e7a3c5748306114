// The stack of blocks: attention, then MLP; backward the other way round, after what was not kept is computed again.
#include "model/sublayers.h"

namespace fedlora {

namespace {
/// The stream at the entry of the first block.
void embed(const Pass& pass) {
  const Description& d = pass.description();
  const StepBuffers& b = pass.buffers;
  pass.backend.embedding_forward(pass.batch.ids, pass.weights.embedding, d.embedding_multiplier, b.x);
  if (!d.positions.empty()) {
    std::vector<int32_t> rows = pass.batch.positions;
    for (int32_t& row : rows) row += static_cast<int32_t>(d.position_offset);
    pass.backend.embedding_add(rows, pass.weights.positions, b.x);
  }
  if (d.embedding_norm.empty()) return;
  norm_forward(pass, pass.weights.embedding_norm, b.x, nullptr, b.normed, b.rstd_final, nullptr);
  pass.backend.zero(pass.M() * d.hidden, b.x);
  pass.backend.residual_add(pass.M() * d.hidden, b.x, b.normed, nullptr);
}
}  // namespace

void blocks_forward(const Pass& pass) {
  const Description& d = pass.description();
  const StepBuffers& b = pass.buffers;
  embed(pass);
  for (int64_t l = 0; l < pass.layers(); ++l) {
    pass.check_cancelled();
    attention_forward(pass, l, b.x, l == 0 ? nullptr : b.delta, b.delta);
    // x is still the stream at the block's entry: the MLP's norm adds what attention gave.
    if (pass.shape.training && pass.shape.recompute == Recompute::all) pass.backend.copy(pass.M() * d.hidden, b.x, pass.block(l).x_entry);
    mlp_forward(pass, l, b.x, b.delta, b.delta);
  }
}

namespace {
/// x and delta hold gradients by now: the stream goes on in x_entry itself, this being its last use, and attention's output in d_input.
void recompute(const Pass& pass, int64_t layer) {
  switch (pass.shape.recompute) {
    case Recompute::none:
      break;
    case Recompute::gate_up:
      mlp_gate_up_again(pass, layer);
      break;
    case Recompute::all: {
      float* x = pass.block(layer).x_entry;
      const Activation delta = pass.buffers.d_input;
      attention_forward(pass, layer, x, nullptr, delta);
      mlp_gate_up(pass, layer, x, delta);
      break;
    }
  }
}
}  // namespace

void blocks_backward(const Pass& pass) {
  for (int64_t l = pass.layers() - 1; l >= pass.pairs.lowest_trained(); --l) {
    pass.check_cancelled();
    recompute(pass, l);
    mlp_backward(pass, l);
    attention_backward(pass, l);
  }
}

}  // namespace fedlora
