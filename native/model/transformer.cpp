#include "model/transformer.h"

#include "base/error.h"

namespace fedlora {

Transformer::Transformer(std::shared_ptr<const Weights> weights, std::unique_ptr<Backend> backend)
    : weights_(std::move(weights)), backend_(std::move(backend)), workspace_(backend_->memory()) {
  for (const RopeDescription& rope : description().ropes) workspace_.ropes.emplace_back(rope, backend_->memory());
}

std::vector<LossSums> Transformer::accumulate(const Batch& batch, std::span<const AdapterSegment> segments, Recompute recompute) {
  const Pass pass = begin(batch, segments, {.training = true, .recompute = recompute});
  blocks_forward(pass);
  final_norm_forward(pass);
  head_loss(pass);
  if (!batch.supervised.empty()) blocks_backward(pass);
  const RowLosses losses(pass);
  std::vector<LossSums> sums;
  for (const AdapterSegment& segment : segments) sums.push_back(losses.sum(segment.row_begin, segment.row_end));
  return sums;
}

LossSums Transformer::evaluate(const Batch& batch, std::span<const AdapterSegment> segments, std::vector<LossSums>* rows) {
  const Pass pass = begin(batch, segments, {});
  blocks_forward(pass);
  final_norm_forward(pass);
  head_loss(pass);
  const RowLosses losses(pass);
  if (rows != nullptr)
    for (int64_t row = 0; row < batch.rows(); ++row)
      rows->push_back(losses.sum(batch.offsets[static_cast<size_t>(row)], batch.offsets[static_cast<size_t>(row) + 1]));
  return losses.sum(0, batch.tokens());
}

void Transformer::logits(const Batch& batch, std::span<const AdapterSegment> segments, float* logits) {
  const Pass pass = begin(batch, segments, {});
  blocks_forward(pass);
  final_norm_forward(pass);
  HostOutput output(backend_->memory(), logits, static_cast<size_t>(batch.tokens() * description().vocabulary), workspace_.logits);
  all_logits(pass, output.place());
  output.finish();
}

void Transformer::prefill(std::span<const int32_t> ids, const Adapter* adapter, KvCache& cache, float* logits) {
  const int32_t length = static_cast<int32_t>(ids.size());
  const Batch batch = make_batch(description(), ids, {}, {&length, 1});
  if (length > cache.capacity())
    fail(Code::E_INTERNAL, "%d prompt tokens for a cache of %lld", length, static_cast<long long>(cache.capacity()));
  cached_pass(batch, adapter, cache, Rows::many, logits);
  cache.length = length;
}

void Transformer::decode(int32_t id, const Adapter* adapter, KvCache& cache, float* logits) {
  if (cache.length >= cache.capacity()) fail(Code::E_INTERNAL, "the cache of %lld rows is full", static_cast<long long>(cache.capacity()));
  const int32_t one = 1;
  Batch batch = make_batch(description(), {&id, 1}, {}, {&one, 1});
  batch.positions.front() = static_cast<int32_t>(cache.length);
  cached_pass(batch, adapter, cache, Rows::one, logits);
  ++cache.length;
}

void Transformer::cached_pass(const Batch& batch, const Adapter* adapter, KvCache& cache, Rows rows, float* logits) {
  const AdapterSegment segment{0, batch.tokens(), adapter};
  const Pass pass = begin(batch, {&segment, adapter == nullptr ? 0u : 1u}, {.cache = &cache, .rows = rows});
  blocks_forward(pass);
  final_norm_forward(pass);
  HostOutput output(backend_->memory(), logits, static_cast<size_t>(description().vocabulary), workspace_.logits);
  last_logits(pass, output.place());
  output.finish();
}

}  // namespace fedlora
