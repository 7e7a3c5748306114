/// Who adapts which rows of a pass: every segment's LoRA pairs, laid out as the backend's calls take them.
#pragma once
#include <span>
#include <vector>

#include "model/residual.h"

namespace fedlora {

/// Rows [row_begin, row_end) of the batch (token rows) use `adapter`; its gradient, when wanted, accumulates into `gradient`.
struct AdapterSegment {
  int64_t row_begin = 0, row_end = 0;
  const Adapter* adapter = nullptr;
  float* gradient = nullptr;  // flat, adapter->size()
  float grad_scale = 1;       // multiplies the gradient of the segment's losses
  bool dropout = false;       // apply the adapter's dropout (training)
  uint64_t dropout_seed = 0;
  uint64_t micro_batch = 0;               // numbers the micro-batches of a run: each has masks of its own
  std::span<const Range> trainable = {};  // tensors that meet none of these get no gradient; empty: all get one
};

class PairTable {
 public:
  /// Reads the adapters' values where they lie; when `training`, the pairs say where gradients go, if wanted.
  PairTable(std::span<const AdapterSegment> segments, const Description& description, bool training);
  PairTable(const PairTable&) = delete;  // calls_ points into pairs_

  /// The segments of one call: pairs[t] belongs to the group's linear layer t.
  std::span<const Segment> call(int64_t layer, LinearGroup group) const {
    const size_t place = static_cast<size_t>(layer) * std::size(linear_groups) + static_cast<size_t>(group.index);
    return std::span(calls_).subspan(place * segments_, segments_);
  }

  /// The lowest layer in which a gradient is wanted: backward ends there. `layers` when none is.
  int64_t lowest_trained() const { return lowest_trained_; }

 private:
  size_t segments_;
  int64_t lowest_trained_;
  std::vector<LoraPair> pairs_;  // [segments × layers × linears_per_layer]
  std::vector<Segment> calls_;   // [layers × groups × segments]
};

/// Largest rank among the segments' adapters of each linear layer, 0: not adapted.   [layers × linears_per_layer]
std::vector<int> largest_ranks(std::span<const AdapterSegment> segments, int64_t layers);

/// Ranks of a residual that one call of the backend meets, the most: PassSize::frozen_ranks.
int64_t most_frozen_ranks(const ResidualMap& residual, const Description& description);

}  // namespace fedlora
