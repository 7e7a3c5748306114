#include "model/step_buffers.h"

#include <algorithm>

namespace fedlora {

namespace {
class Placer {
 public:
  explicit Placer(uint8_t* base) : base_(base) {}
  template <class T = void>
  T* take(int64_t bytes) {
    uint8_t* place = base_ == nullptr ? nullptr : base_ + used_;
    used_ += static_cast<size_t>((bytes + 255) / 256 * 256);  // as Memory aligns
    return reinterpret_cast<T*>(place);
  }
  size_t used() const { return used_; }

 private:
  uint8_t* base_;
  size_t used_ = 0;
};
}  // namespace

StepBuffers StepBuffers::place(const Description& d, const StepShape& shape, uint8_t* base) {
  Placer placer(base);
  StepBuffers b;
  const int64_t M = shape.tokens, width = activation_width(shape.compute);
  const int64_t layers = static_cast<int64_t>(d.layers.size());
  const auto activation = [&](int64_t columns) { return placer.take(M * columns * width); };
  const auto f32 = [&](int64_t count) { return placer.take<float>(count * 4); };

  const BlockSpec& spec = d.layers.front();  // the others are alike: check_consistent
  const AttentionSpec& attention = spec.attention;
  const int64_t moments = d.norm == NormKind::layer ? 2 : 1;
  const auto place_mlp = [&](SavedBlock& block) {
    block.gate = activation(d.intermediate);
    if (d.gated) block.up = activation(d.intermediate);
  };
  const auto place_down = [&](SavedBlock& block) {
    if (!spec.after_mlp.present()) return;
    block.down = activation(d.hidden);
    block.down_rstd = f32(M);
  };
  const auto place_attention = [&](SavedBlock& block) {
    block.x1 = activation(d.hidden);
    block.rstd1 = f32(M * moments);
    if (attention.q_norm.present()) {
      block.q_raw = activation(d.query_width());
      block.q_rstd = f32(M * d.query_width() / attention.q_norm.width);
    }
    if (attention.k_norm.present()) {
      block.k_raw = activation(d.kv_width());
      block.k_rstd = f32(M * d.kv_width() / attention.k_norm.width);
    }
    block.q = activation(d.query_width());
    block.k = activation(d.kv_width());
    block.v = activation(d.kv_width());
    block.o = activation(d.query_width());
    block.lse = f32(M * d.heads * 2);
    block.x2 = d.parallel ? block.x1 : activation(d.hidden);
    block.rstd2 = d.parallel ? block.rstd1 : f32(M * moments);
    if (spec.after_attention.present()) {
      block.attended = activation(d.hidden);
      block.attended_rstd = f32(M);
    }
  };
  const bool keep_blocks = shape.training && shape.recompute != Recompute::all;
  const bool keep_mlp = shape.training && shape.recompute == Recompute::none;

  b.blocks.resize(static_cast<size_t>(layers));
  SavedBlock shared;
  if (!shape.training) place_down(shared);
  if (!keep_blocks) place_attention(shared);
  if (!keep_mlp) place_mlp(shared);
  // h of a recomputed block is written again with the same bits, so that every block may keep its own: they are small.
  for (int64_t l = 0; l < layers; ++l) {
    SavedBlock& block = b.blocks[static_cast<size_t>(l)];
    block = shared;
    if (shape.training && shape.recompute == Recompute::all) block.x_entry = f32(M * d.hidden);
    if (shape.training) place_down(block);
    if (keep_blocks) place_attention(block);
    if (keep_mlp) place_mlp(block);
    for (int place = 0; place < linears_per_layer; ++place) {
      const int rank = shape.ranks[static_cast<size_t>(l * linears_per_layer + place)];
      if (rank > 0) block.h[place] = activation(h_stride(rank));
    }
  }
  if (shape.training) {
    b.x_final = activation(d.hidden);
    b.saved_bytes = placer.used();
  }
  const size_t before = placer.used();
  b.rstd_final = f32(M * moments);
  b.x = f32(M * d.hidden);
  b.normed = activation(d.hidden);
  b.delta = activation(d.hidden);
  b.hidden = activation(d.intermediate);
  int64_t fused = 0;
  if (attention.in.size() == 1) fused = attention.in.front().N;
  if (d.gated && spec.mlp.in.size() == 1) fused = std::max(fused, spec.mlp.in.front().N);
  if (fused > 0) b.fused = activation(fused);
  if (shape.training) {
    b.d_x = b.x;
    b.d_delta = b.delta;
    b.d_input = activation(std::max({d.intermediate, d.query_width(), d.hidden}));
    b.d_q = activation(d.query_width());
    b.d_k = activation(d.kv_width());
    b.d_v = activation(d.kv_width());
  }
  b.head_rows = placer.take(shape.supervised * d.hidden * width);
  b.losses = f32(shape.supervised);
  b.correct = placer.take<uint8_t>(shape.supervised);
  b.workspace_bytes = placer.used() - (shape.training ? before : 0);
  b.total_bytes = placer.used();
  return b;
}

}  // namespace fedlora
