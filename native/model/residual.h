/// Frozen low-rank factors that an adapter carries beside its trained ones:   y = W·x + s·B·(A·x) + s·B_res·(A_res·x).
///
/// They count as base: no gradient, no dropout. A federated mean whose exact result has a higher rank than the adapter (FedEx-LoRA, Singhal
/// et al. 2024; FLoRA, Wang et al. 2024) leaves here what those papers add to the weights, which are quantised and stay as they are.
/// For each adapted layer that has some, in forward order: A_res [P,K], then B_res [N,P]; each layer has a P of its own.
#pragma once
#include <span>
#include <vector>

#include "model/adapter.h"

namespace fedlora {

/// Which adapted layers have frozen factors, and where they lie.
class ResidualMap {
 public:
  /// `ranks`: P of each adapted layer, in forward order; 0: none there. E_SHAPE for another number of them; E_ARGUMENT for one below 0, or
  /// above 4,096 together with the trained rank, which is what the saved adapter has.
  ResidualMap(const AdapterMap& adapter, std::vector<int> ranks);

  const std::vector<int>& ranks() const { return ranks_; }
  const std::vector<TensorLayout>& layout() const { return layout_; }
  /// Elements of the flat vector.
  int64_t size() const { return size_; }

  /// Offsets of a layer's factors; rank 0: it has none.
  struct Slot {
    int rank = 0;
    int64_t A = 0, B = 0;
  };
  const Slot& slot(int64_t layer, int place) const { return slots_[static_cast<size_t>(layer * linears_per_layer + place)]; }

 private:
  std::vector<int> ranks_;
  std::vector<Slot> slots_;  // [layers × linears_per_layer]
  std::vector<TensorLayout> layout_;
  int64_t size_ = 0;
};

/// Never changes once made, so that adapters may share one.
class Residual : public ResidualMap {
 public:
  /// E_SHAPE for another number of values than the map's, E_NONFINITE for a NaN or infinity.
  Residual(ResidualMap map, std::span<const float> values, std::shared_ptr<Memory> memory = host_memory());

  const Buffer<float>& values() const { return values_; }
  // In that memory.
  const float* A(const Slot& slot) const { return values_.data() + slot.A; }
  const float* B(const Slot& slot) const { return values_.data() + slot.B; }

 private:
  Buffer<float> values_;
};

/// The adapter in the host's memory, its residual with it.
std::shared_ptr<Adapter> host_copy(const Adapter& adapter);

}  // namespace fedlora
