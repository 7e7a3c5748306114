#include "model/transformer.h"

#include <algorithm>

#include "base/error.h"

namespace fedlora {

Transformer::Transformer(std::shared_ptr<const Weights> weights, std::unique_ptr<Backend> backend)
    : weights_(std::move(weights)), backend_(std::move(backend)) {
  for (const RopeDescription& rope : description().ropes) ropes_.emplace_back(rope);
}

size_t Transformer::rope_bytes() const {
  size_t bytes = 0;
  for (const RopeTable& table : ropes_) bytes += table.bytes();
  return bytes;
}

void Transformer::check_cancelled() const {
  if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) throw Cancelled{};
}

StepShape Transformer::shape_of(const Batch& batch, std::span<const AdapterSegment> segments, bool training, Recompute recompute) const {
  StepShape shape;
  shape.tokens = batch.tokens();
  shape.supervised = static_cast<int64_t>(batch.supervised.size());
  shape.training = training;
  shape.recompute = recompute;
  shape.compute = backend_->compute();
  const int64_t layers = static_cast<int64_t>(description().layers.size());
  shape.ranks.assign(static_cast<size_t>(layers * linears_per_layer), 0);
  for (const AdapterSegment& segment : segments)
    for (int64_t l = 0; l < layers; ++l)
      for (int linear = 0; linear < linears_per_layer; ++linear) {
        int& rank = shape.ranks[static_cast<size_t>(l * linears_per_layer + linear)];
        rank = std::max(rank, segment.adapter->slot(l, linear).rank);
      }
  return shape;
}

void Transformer::prepare(const StepShape& shape, int64_t positions) {
  const size_t bytes = plan(shape).total_bytes;
  if (arena_.bytes() < bytes) {
    arena_ = AlignedBuffer<uint8_t>();  // the old one goes first: never two at a time
    arena_ = AlignedBuffer<uint8_t>(bytes);
  }
  shape_ = shape;
  buffers_ = StepBuffers::place(description(), shape, arena_.data());
  for (RopeTable& table : ropes_) table.reserve(positions);
}

void Transformer::bind(std::span<const AdapterSegment> segments, bool training) {
  const int64_t layers = static_cast<int64_t>(description().layers.size());
  segments_.assign(segments.begin(), segments.end());
  pairs_.assign(segments.size() * static_cast<size_t>(layers * linears_per_layer), LoraPair{});
  size_t next = 0;
  for (const AdapterSegment& segment : segments) {
    const float* values = segment.adapter->values.data();
    for (int64_t l = 0; l < layers; ++l) {
      for (int linear = 0; linear < linears_per_layer; ++linear, ++next) {
        const AdapterSlot& slot = segment.adapter->slot(l, linear);
        if (slot.rank == 0) continue;
        LoraPair& pair = pairs_[next];
        pair.rank = slot.rank;
        pair.scaling = slot.scaling;
        pair.A = values + slot.A;
        pair.B = values + slot.B;
        if (training && segment.gradient != nullptr) {
          pair.d_A = segment.gradient + slot.A;
          pair.d_B = segment.gradient + slot.B;
        }
        if (segment.dropout) {
          pair.dropout = slot.dropout;
          pair.dropout_seed = segment.dropout_seed;
          pair.dropout_stream = segment.micro_batch << 20 | static_cast<uint64_t>(l * linears_per_layer + linear);
        }
      }
    }
  }
}

void Transformer::linear_forward(int64_t layer, int first, int count, int64_t M, ConstActivation x, const Activation* y,
                                 const SavedBlock& block) {
  const LayerWeights& weights = weights_->layers[static_cast<size_t>(layer)];
  LinearTarget targets[3];
  for (int t = 0; t < count; ++t) {
    const int linear = first + t;
    const std::vector<float>& bias = weights.bias[linear];
    const int rank = shape_.ranks[static_cast<size_t>(layer * linears_per_layer + linear)];
    targets[t] = {&weights.linear[linear], bias.empty() ? nullptr : bias.data(), y[t], block.h[linear], h_stride(rank), nullptr};
  }
  call_.clear();
  const size_t per_segment = description().layers.size() * linears_per_layer;
  for (size_t s = 0; s < segments_.size(); ++s) {
    const LoraPair* pairs = &pairs_[s * per_segment + static_cast<size_t>(layer * linears_per_layer + first)];
    call_.push_back({segments_[s].row_begin, segments_[s].row_end, {pairs, static_cast<size_t>(count)}});
  }
  if (shape_.decoding)
    backend_->lora_linear_decode(x, {targets, static_cast<size_t>(count)}, call_.empty() ? std::span<const LoraPair>() : call_[0].pairs);
  else
    backend_->lora_linear_forward(M, x, {targets, static_cast<size_t>(count)}, call_);
}

void Transformer::linear_backward(int64_t layer, int first, int count, int64_t M, ConstActivation x, const Activation* d_y,
                                  const SavedBlock& block, Activation d_x) {
  const LayerWeights& weights = weights_->layers[static_cast<size_t>(layer)];
  LinearTarget targets[3];
  for (int t = 0; t < count; ++t) {
    const int linear = first + t;
    const int rank = shape_.ranks[static_cast<size_t>(layer * linears_per_layer + linear)];
    targets[t] = {&weights.linear[linear], nullptr, nullptr, block.h[linear], h_stride(rank), d_y[t]};
  }
  call_.clear();
  const size_t per_segment = description().layers.size() * linears_per_layer;
  for (size_t s = 0; s < segments_.size(); ++s) {
    const LoraPair* pairs = &pairs_[s * per_segment + static_cast<size_t>(layer * linears_per_layer + first)];
    call_.push_back({segments_[s].row_begin, segments_[s].row_end, {pairs, static_cast<size_t>(count)}});
  }
  backend_->lora_linear_backward(M, x, {targets, static_cast<size_t>(count)}, call_, d_x);
}

AttentionShape Transformer::attention_shape(int64_t layer) const {
  const Description& d = description();
  return {d.heads, d.kv_heads, d.head_dim, d.attention_scale, d.layers[static_cast<size_t>(layer)].window};
}

void Transformer::rotate(int64_t layer, int heads, int64_t M, std::span<const int32_t> positions, bool inverse, Activation x) {
  const int index = description().layers[static_cast<size_t>(layer)].rope;
  if (index < 0) return;
  const RopeTable& table = ropes_[static_cast<size_t>(index)];
  backend_->rope(M, heads, description().head_dim, positions, table.cosine(), table.sine(), inverse, x);
}

std::vector<LossSums> Transformer::accumulate(const Batch& batch, std::span<const AdapterSegment> segments, Recompute recompute) {
  prepare(shape_of(batch, segments, true, recompute), batch.longest);
  bind(segments, true);
  run_blocks(batch);
  head_loss(batch, true);
  std::vector<LossSums> sums;
  for (const AdapterSegment& segment : segments) sums.push_back(sum_losses(batch, segment.row_begin, segment.row_end));
  if (batch.supervised.empty()) return sums;
  for (int64_t l = static_cast<int64_t>(description().layers.size()) - 1; l >= 0; --l) block_backward(l, batch);
  return sums;
}

LossSums Transformer::evaluate(const Batch& batch, std::span<const AdapterSegment> segments) {
  prepare(shape_of(batch, segments, false, Recompute::none), batch.longest);
  bind(segments, false);
  run_blocks(batch);
  head_loss(batch, false);
  return sum_losses(batch, 0, batch.tokens());
}

void Transformer::logits(const Batch& batch, std::span<const AdapterSegment> segments, float* logits) {
  prepare(shape_of(batch, segments, false, Recompute::none), batch.longest);
  bind(segments, false);
  run_blocks(batch);
  backend_->head_logits(batch.tokens(), buffers_.normed, weights_->output_head(), description().logits_divider, logits);
}

}  // namespace fedlora
