/// The core of an adapter:   ΔW = s·B·R·A   with lora_A A [R,K] and lora_B B [N,R] frozen, and the same for all who share them; only the
/// square matrices between them are trained (Fed-SB: Singhal et al. 2025, "Fed-SB: A Silver Bullet for Extreme Communication Efficiency and
/// Performance in (Private) Federated LoRA Fine-Tuning"). The sum over clients of s·B·R_k·A is s·B·(Σ R_k)·A: averaging is exact.
///
/// The adapter holds A′ = R·A where every pass reads lora_A, and B, so that   dR = dA′·Aᵀ.
/// The core's vector is the R of each adapted layer [rank, rank], row-major, in forward order.
#pragma once
#include <span>
#include <vector>

#include "base/aligned.h"
#include "model/adapter.h"

namespace fedlora {

class Core {
 public:
  /// `A`: lora_A of every adapted layer, end to end; `values`: the core's vector. E_SHAPE for other lengths, E_NONFINITE.
  Core(const AdapterMap& map, std::span<const float> A, std::span<const float> values,
       const std::shared_ptr<Memory>& memory = host_memory());

  /// The lora_A of an adapter, end to end.
  static std::vector<float> A_of(const Adapter& adapter);
  /// Replaces all values. E_SHAPE, E_NONFINITE; nothing is written then.
  void write(std::span<const float> values);

  /// gradient = dA′·Aᵀ of the gradient of the adapter's vector.
  void gather(const Buffer<float>& of_adapter);
  /// A′ = R·A into the adapter, summed in double and rounded once.
  void apply(Adapter& adapter) const;

  size_t size() const { return values.size(); }
  /// Where the adapter's vector holds lora_A: the ranges in which a pass computes gradients.
  const std::vector<Range>& of_A() const { return of_A_; }

  Buffer<float> values, gradient;  // in the adapter's memory

 private:
  struct Layer {
    int64_t rank, K;
    int64_t in_adapter;  // of lora_A
    int64_t A, R;        // in A_ and in the core's vector
  };

  std::vector<Layer> layers_;
  std::vector<Range> of_A_;
  AlignedBuffer<float> A_;
};

}  // namespace fedlora
