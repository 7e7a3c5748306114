#include "model/rope_table.h"

#include <cmath>

namespace fedlora {

void RopeTable::reserve(int64_t positions) {
  if (positions <= positions_) return;
  positions = (positions + 255) / 256 * 256;
  const size_t half = rope_.inverse_frequencies.size();
  cosine_ = AlignedBuffer<float>(static_cast<size_t>(positions) * half);
  sine_ = AlignedBuffer<float>(static_cast<size_t>(positions) * half);
  for (int64_t position = 0; position < positions; ++position) {
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * rope_.inverse_frequencies[i];
      cosine_[static_cast<size_t>(position) * half + i] = static_cast<float>(std::cos(static_cast<double>(angle))) * rope_.attention_factor;
      sine_[static_cast<size_t>(position) * half + i] = static_cast<float>(std::sin(static_cast<double>(angle))) * rope_.attention_factor;
    }
  }
  positions_ = positions;
}

}  // namespace fedlora
