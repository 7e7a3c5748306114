/// Forward and backward of a decoder block stack over frozen weights, with LoRA adapters on its linear layers.
///
///   x = multiplier·E[ids]
///   block:  a = norm(x)   q,k,v = a·W + LoRA   (head norm)   rope   o = attention   x += o·W_o
///           m = norm(x)   h = activate(m·W_gate)∘(m·W_up)   x += h·W_down
///   loss = cross-entropy of norm(x)·Headᵀ on supervised rows
/// The residual stream and its gradient are f32; everything else is Activation. Rows of a batch never see one another.
#pragma once
#include <atomic>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "model/adapter.h"
#include "model/batch.h"
#include "model/rope_table.h"
#include "model/step_buffers.h"
#include "model/weights.h"

namespace fedlora {

/// Thrown by a pass whose cancel flag was raised; caught by `training`.
struct Cancelled {};

/// Rows [row_begin, row_end) of the batch (token rows) use `adapter`; its gradient, when wanted, accumulates into `gradient`.
struct AdapterSegment {
  int64_t row_begin = 0, row_end = 0;
  const Adapter* adapter = nullptr;
  float* gradient = nullptr;  // flat, adapter->size()
  float grad_scale = 1;       // multiplies the gradient of the segment's losses
  bool dropout = false;       // apply the adapter's dropout (training)
  uint64_t dropout_seed = 0;
  uint64_t micro_batch = 0;  // numbers the micro-batches of a run: each has masks of its own
};

struct LossSums {
  double loss = 0;  // Σ over supervised rows, added in row order
  int64_t correct = 0, supervised = 0, tokens = 0;
};

/// Keys and values of the rows generated so far, one layer after another: Activation [capacity, G·D] each.
struct KvCache {
  int64_t capacity = 0, length = 0;
  AlignedBuffer<uint8_t> storage;
  std::vector<Activation> keys, values;
};

class Transformer {
 public:
  Transformer(std::shared_ptr<const Weights> weights, std::unique_ptr<Backend> backend);

  const Description& description() const { return weights_->description; }
  const Weights& weights() const { return *weights_; }
  Backend& backend() { return *backend_; }

  /// Loss of each segment's supervised rows and, scaled by its grad_scale, its gradient added into the segment's gradient. A segment gets
  /// the bits that it would get as a batch of its own.
  std::vector<LossSums> accumulate(const Batch& batch, std::span<const AdapterSegment> segments, Recompute recompute);
  LossSums evaluate(const Batch& batch, std::span<const AdapterSegment> segments);
  /// logits f32 [M, V].
  void logits(const Batch& batch, std::span<const AdapterSegment> segments, float* logits);

  KvCache make_cache(int64_t capacity) const;
  /// Runs the prompt, fills the cache and gives the last position's logits f32 [V]. What throws leaves the cache's length as it was.
  void prefill(std::span<const int32_t> ids, const Adapter* adapter, KvCache& cache, float* logits);
  /// One token more; after a throw the same token can be tried again.
  void decode(int32_t id, const Adapter* adapter, KvCache& cache, float* logits);

  StepBuffers plan(const StepShape& shape) const { return StepBuffers::place(description(), shape, nullptr); }
  size_t rope_bytes() const;
  size_t arena_bytes() const { return arena_.bytes(); }
  /// Raised from another thread: the pass in flight throws Cancelled before its next block. Gives the flag that was set before.
  const std::atomic<bool>* set_cancel_flag(const std::atomic<bool>* flag) { return std::exchange(cancel_, flag); }

 private:
  void check_cancelled() const;
  StepShape shape_of(const Batch& batch, std::span<const AdapterSegment> segments, bool training, Recompute recompute) const;
  void prepare(const StepShape& shape, int64_t positions);
  void bind(std::span<const AdapterSegment> segments, bool training);

  void linear_forward(int64_t layer, int first, int count, int64_t M, ConstActivation x, const Activation* y, const SavedBlock& block);
  void linear_backward(int64_t layer, int first, int count, int64_t M, ConstActivation x, const Activation* d_y, const SavedBlock& block,
                       Activation d_x);
  void project_qkv(int64_t layer, const Batch& batch, ConstActivation delta, SavedBlock& block);
  void attention_half(int64_t layer, const Batch& batch, ConstActivation delta, SavedBlock& block);
  void mlp_half(int64_t layer, int64_t M, SavedBlock& block, bool write_output);
  void rotate(int64_t layer, int heads, int64_t M, std::span<const int32_t> positions, bool inverse, Activation x);
  void run_blocks(const Batch& batch);
  void block_backward(int64_t layer, const Batch& batch);
  void head_loss(const Batch& batch, bool training);
  LossSums sum_losses(const Batch& batch, int64_t row_begin, int64_t row_end) const;
  void begin_cached(const Batch& batch, const Adapter* adapter, int64_t positions, bool decoding);
  void finish_cached(int64_t M, float* logits);
  AttentionShape attention_shape(int64_t layer) const;

  std::shared_ptr<const Weights> weights_;
  std::unique_ptr<Backend> backend_;
  std::vector<RopeTable> ropes_;
  AlignedBuffer<uint8_t> arena_;
  StepShape shape_;  // of the pass in flight, set anew by each
  StepBuffers buffers_;
  std::vector<AdapterSegment> segments_;
  std::vector<LoraPair> pairs_;    // [segments × layers × linears_per_layer]
  std::vector<Segment> call_;      // the segments of one operator call
  std::vector<float> row_scales_;  // grad_scale of each supervised row
  const std::atomic<bool>* cancel_ = nullptr;
};

}  // namespace fedlora
