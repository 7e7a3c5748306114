// Generation: the prompt in one pass, then one row at a time against cached keys and values.
#include <cstring>

#include "base/error.h"
#include "model/transformer.h"

namespace fedlora {

namespace {
int64_t activation_bytes(const Backend& backend) { return backend.compute() == Compute::bf16 ? 2 : 4; }

Activation at_row(Activation rows, int64_t row, int64_t columns, int64_t width) {
  return static_cast<uint8_t*>(rows) + row * columns * width;
}
}  // namespace

KvCache Transformer::make_cache(int64_t capacity) const {
  const Description& d = description();
  KvCache cache;
  cache.capacity = capacity;
  const int64_t layers = static_cast<int64_t>(d.layers.size());
  const int64_t bytes = (capacity * d.kv_width() * activation_bytes(*backend_) + 63) / 64 * 64;
  cache.storage = AlignedBuffer<uint8_t>(static_cast<size_t>(2 * layers * bytes));
  for (int64_t l = 0; l < layers; ++l) {
    cache.keys.push_back(cache.storage.data() + 2 * l * bytes);
    cache.values.push_back(cache.storage.data() + (2 * l + 1) * bytes);
  }
  return cache;
}

void Transformer::begin_cached(const Batch& batch, const Adapter* adapter, int64_t positions, bool decoding) {
  const AdapterSegment segment{0, batch.tokens(), adapter};
  const std::span<const AdapterSegment> segments(&segment, adapter == nullptr ? 0 : 1);
  StepShape shape = shape_of(batch, segments, false, Recompute::none);
  shape.supervised = 1;
  shape.decoding = decoding;
  prepare(shape, positions);
  bind(segments, false);
  backend_->embedding_forward(batch.ids, weights_->embedding, description().embedding_multiplier, buffers_.x);
}

/// Final norm of every row, then the logits of the last.
void Transformer::finish_cached(int64_t M, float* logits) {
  const Description& d = description();
  backend_->rms_norm_forward(M, d.hidden, buffers_.x, buffers_.delta, weights_->final_norm.data(), d.norm_epsilon, buffers_.normed,
                             buffers_.rstd_final, nullptr);
  const int32_t last = static_cast<int32_t>(M - 1);
  backend_->gather_rows(d.hidden, {&last, 1}, buffers_.normed, buffers_.head_rows);
  if (shape_.decoding)
    backend_->head_logits_decode(buffers_.head_rows, weights_->output_head(), d.logits_divider, logits);
  else
    backend_->head_logits(1, buffers_.head_rows, weights_->output_head(), d.logits_divider, logits);
}

void Transformer::prefill(std::span<const int32_t> ids, const Adapter* adapter, KvCache& cache, float* logits) {
  const Description& d = description();
  const int32_t length = static_cast<int32_t>(ids.size());
  const Batch batch = make_batch(d, ids, {}, {&length, 1});
  if (length > cache.capacity)
    fail(Code::E_INTERNAL, "%d prompt tokens for a cache of %lld", length, static_cast<long long>(cache.capacity));
  begin_cached(batch, adapter, cache.capacity, false);
  const size_t bytes = static_cast<size_t>(length * d.kv_width() * activation_bytes(*backend_));
  for (size_t l = 0; l < d.layers.size(); ++l) {
    check_cancelled();
    SavedBlock& block = buffers_.blocks[l];
    attention_half(static_cast<int64_t>(l), batch, l == 0 ? nullptr : buffers_.delta, block);
    std::memcpy(cache.keys[l], block.k, bytes);
    std::memcpy(cache.values[l], block.v, bytes);
    mlp_half(static_cast<int64_t>(l), length, block, true);
  }
  finish_cached(length, logits);
  cache.length = length;
}

void Transformer::decode(int32_t id, const Adapter* adapter, KvCache& cache, float* logits) {
  const Description& d = description();
  if (cache.length >= cache.capacity) fail(Code::E_INTERNAL, "the cache of %lld rows is full", static_cast<long long>(cache.capacity));
  const int32_t one = 1;
  Batch batch = make_batch(d, {&id, 1}, {}, {&one, 1});
  batch.positions[0] = static_cast<int32_t>(cache.length);
  begin_cached(batch, adapter, cache.capacity, true);
  const int64_t width = activation_bytes(*backend_);
  const size_t bytes = static_cast<size_t>(d.kv_width() * width);
  for (size_t l = 0; l < d.layers.size(); ++l) {
    check_cancelled();
    SavedBlock& block = buffers_.blocks[l];
    const int64_t layer = static_cast<int64_t>(l);
    project_qkv(layer, batch, l == 0 ? nullptr : buffers_.delta, block);
    std::memcpy(at_row(cache.keys[l], cache.length, d.kv_width(), width), block.k, bytes);
    std::memcpy(at_row(cache.values[l], cache.length, d.kv_width(), width), block.v, bytes);
    backend_->attention_decode(attention_shape(layer), cache.length + 1, block.q, cache.keys[l], cache.values[l], block.o);
    linear_forward(layer, linear_o, 1, 1, block.o, &buffers_.delta, block);
    mlp_half(layer, 1, block, true);
  }
  finish_cached(1, logits);
  ++cache.length;
}

}  // namespace fedlora
