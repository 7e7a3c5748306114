/// cos and sin of position × inverse frequency, in float32 as transformers computes them: [positions, P/2], grown on demand. With
/// frequencies of their own for long rows the table has those of all positions once more behind.
#pragma once
#include "backend/memory.h"
#include "model/description.h"

namespace fedlora {

class RopeTable {
 public:
  RopeTable(const RopeDescription& rope, std::shared_ptr<Memory> memory) : rope_(rope), memory_(std::move(memory)) {}
  /// Makes the first `positions` rows available. Invalidates earlier pointers when it grows.
  void reserve(int64_t positions);
  int rotary_dim() const { return rope_.rotary_dim(); }
  /// Rows of the table for the positions of a sequence of `length` rows: positions from here on.
  int32_t first_row(int64_t length) const {
    return rope_.long_inverse_frequencies.empty() || length <= rope_.original_positions ? 0 : static_cast<int32_t>(positions_);
  }
  /// In the backend's memory.
  const float* cosine() const { return cosine_.data(); }
  const float* sine() const { return sine_.data(); }
  size_t bytes() const { return cosine_.bytes() + sine_.bytes(); }

 private:
  void fill(const std::vector<float>& frequencies, int64_t positions, float* cosine, float* sine) const;

  RopeDescription rope_;
  std::shared_ptr<Memory> memory_;
  int64_t positions_ = 0;
  Buffer<float> cosine_, sine_;
};

}  // namespace fedlora
