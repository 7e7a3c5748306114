/// cos and sin of position × inverse frequency, in float32 as transformers computes them: [positions, D/2], grown on demand.
#pragma once
#include "backend/memory.h"
#include "model/description.h"

namespace fedlora {

class RopeTable {
 public:
  RopeTable(const RopeDescription& rope, std::shared_ptr<Memory> memory) : rope_(rope), memory_(std::move(memory)) {}
  /// Makes the first `positions` rows available. Invalidates earlier pointers when it grows.
  void reserve(int64_t positions);
  /// In the backend's memory.
  const float* cosine() const { return cosine_.data(); }
  const float* sine() const { return sine_.data(); }
  size_t bytes() const { return cosine_.bytes() + sine_.bytes(); }

 private:
  RopeDescription rope_;
  std::shared_ptr<Memory> memory_;
  int64_t positions_ = 0;
  Buffer<float> cosine_, sine_;
};

}  // namespace fedlora
