/// A decoder block stack over frozen weights, with LoRA adapters on its linear layers: training, evaluation, generation.
///
///   x = multiplier·E[ids]
///   block:  a = norm(x)   q,k,v = a·W + LoRA   (head norm)   rope   o = attention   x += o·W_o
///           m = norm(x)   h = activate(m·W_gate)∘(m·W_up)   x += h·W_down
///   loss = cross-entropy of norm(x)·Headᵀ on supervised rows
/// The residual stream and its gradient are f32; everything else is Activation. Rows of a batch never see one another.
#pragma once
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "model/sublayers.h"

namespace fedlora {

/// Each call is one `Pass`; one at a time.
class Transformer {
 public:
  Transformer(std::shared_ptr<const Weights> weights, std::unique_ptr<Backend> backend);

  const Description& description() const { return weights_->description; }
  const Weights& weights() const { return *weights_; }
  Backend& backend() { return *backend_; }

  /// Loss of each segment's supervised rows and, scaled by its grad_scale, its gradient added into the segment's gradient. A segment gets
  /// the bits that it would get as a batch of its own.
  std::vector<LossSums> accumulate(const Batch& batch, std::span<const AdapterSegment> segments, Recompute recompute);
  /// `rows`, if given, receives the sums of each row.
  LossSums evaluate(const Batch& batch, std::span<const AdapterSegment> segments, std::vector<LossSums>* rows = nullptr);
  /// logits f32 [M, V], the host's, as are those of prefill and decode.
  void logits(const Batch& batch, std::span<const AdapterSegment> segments, float* logits);

  KvCache make_cache(int64_t capacity) const { return KvCache(description(), backend_->memory(), backend_->compute(), capacity); }
  /// Runs the prompt, fills the cache and gives the last position's logits f32 [V]. What throws leaves the cache's length as it was.
  void prefill(std::span<const int32_t> ids, const Adapter* adapter, KvCache& cache, float* logits);
  /// One token more; after a throw the same token can be tried again.
  void decode(int32_t id, const Adapter* adapter, KvCache& cache, float* logits);

  /// Raised from another thread: the pass in flight throws Cancelled before its next block. Gives the flag that was set before.
  const std::atomic<bool>* set_cancel_flag(const std::atomic<bool>* flag) { return std::exchange(workspace_.cancel, flag); }

 private:
  Pass begin(const Batch& batch, std::span<const AdapterSegment> segments, const PassOptions& options) {
    return Pass(*weights_, *backend_, workspace_, batch, segments, options);
  }

  /// The last row's logits of a pass that writes its keys and values into the cache.
  void cached_pass(const Batch& batch, const Adapter* adapter, KvCache& cache, Rows rows, float* logits);

  const std::shared_ptr<const Weights> weights_;
  const std::unique_ptr<Backend> backend_;
  Workspace workspace_;
};

}  // namespace fedlora
