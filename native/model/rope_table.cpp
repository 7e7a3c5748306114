#include "model/rope_table.h"

#include <cmath>
#include <utility>

namespace fedlora {

void RopeTable::fill(const std::vector<float>& frequencies, int64_t positions, float* cosine, float* sine) const {
  for (int64_t position = 0; position < positions; ++position) {
    float factor = rope_.attention_factor;
    if (rope_.temperature_beta != 0)
      factor *= 1.0f + rope_.temperature_beta * std::log(1.0f + static_cast<float>(position / rope_.temperature_positions));
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      *cosine++ = static_cast<float>(std::cos(static_cast<double>(angle))) * factor;
      *sine++ = static_cast<float>(std::sin(static_cast<double>(angle))) * factor;
    }
  }
}

void RopeTable::reserve(int64_t positions) {
  if (positions <= positions_) return;
  positions = (positions + 255) / 256 * 256;
  const size_t plane = static_cast<size_t>(positions) * rope_.inverse_frequencies.size();
  const bool twice = !rope_.long_inverse_frequencies.empty();
  std::vector<float> cosine(twice ? 2 * plane : plane), sine(cosine.size());
  fill(rope_.inverse_frequencies, positions, cosine.data(), sine.data());
  if (twice) fill(rope_.long_inverse_frequencies, positions, cosine.data() + plane, sine.data() + plane);
  Buffer<float> new_cosine(memory_, cosine), new_sine(memory_, sine);
  cosine_ = std::move(new_cosine);
  sine_ = std::move(new_sine);
  positions_ = positions;
}

}  // namespace fedlora
