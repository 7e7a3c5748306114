/// cos and sin of position × inverse frequency, in float32 as transformers computes them: [positions, D/2], grown on demand.
#pragma once
#include "base/aligned.h"
#include "model/description.h"

namespace fedlora {

class RopeTable {
 public:
  explicit RopeTable(const RopeDescription& rope) : rope_(rope) {}
  /// Makes the first `positions` rows available. Invalidates earlier pointers when it grows.
  void reserve(int64_t positions);
  const float* cosine() const { return cosine_.data(); }
  const float* sine() const { return sine_.data(); }
  size_t bytes() const { return cosine_.bytes() + sine_.bytes(); }

 private:
  RopeDescription rope_;
  int64_t positions_ = 0;
  AlignedBuffer<float> cosine_, sine_;
};

}  // namespace fedlora
