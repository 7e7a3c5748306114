#include "model/rope_table.h"

#include <cmath>
#include <utility>

namespace fedlora {

void RopeTable::reserve(int64_t positions) {
  if (positions <= positions_) return;
  positions = (positions + 255) / 256 * 256;
  const size_t half = rope_.inverse_frequencies.size();
  std::vector<float> cosine(static_cast<size_t>(positions) * half), sine(cosine.size());
  for (int64_t position = 0; position < positions; ++position) {
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * rope_.inverse_frequencies[i];
      cosine[static_cast<size_t>(position) * half + i] = static_cast<float>(std::cos(static_cast<double>(angle))) * rope_.attention_factor;
      sine[static_cast<size_t>(position) * half + i] = static_cast<float>(std::sin(static_cast<double>(angle))) * rope_.attention_factor;
    }
  }
  Buffer<float> new_cosine(memory_, cosine), new_sine(memory_, sine);
  cosine_ = std::move(new_cosine);
  sine_ = std::move(new_sine);
  positions_ = positions;
}

}  // namespace fedlora
