#include "ref/rope_ref.h"

#include <cmath>
#include <numbers>

namespace fedlora::ref {

template <class Real>
void rope(int64_t M, int heads, int head_dim, std::span<const int32_t> positions, const Real* cosine, const Real* sine, bool inverse,
          Real* x, int rotary_dim) {
  const int half = (rotary_dim > 0 ? rotary_dim : head_dim) / 2;
  for (int64_t m = 0; m < M; ++m)
    for (int head = 0; head < heads; ++head)
      for (int i = 0; i < half; ++i) {
        Real& first = x[(m * heads + head) * head_dim + i];
        Real& second = x[(m * heads + head) * head_dim + i + half];
        const double a = first, b = second, c = cosine[positions[m] * half + i];
        const double s = inverse ? -static_cast<double>(sine[positions[m] * half + i]) : static_cast<double>(sine[positions[m] * half + i]);
        first = static_cast<Real>(a * c - b * s);
        second = static_cast<Real>(b * c + a * s);
      }
}

std::vector<float> rope_frequencies(int head_dim, double theta) {
  std::vector<float> frequencies(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = static_cast<float>(std::pow(theta, -2.0 * static_cast<double>(i) / head_dim));
  return frequencies;
}

void llama3_scale(std::vector<float>& frequencies, double factor, double low, double high, double original_positions) {
  for (float& frequency : frequencies) {
    const double f = frequency, turns = original_positions * f / (2 * std::numbers::pi);  // original / wavelength
    if (turns < low) {
      frequency = static_cast<float>(f / factor);
    } else if (turns <= high) {
      const double smooth = (turns - low) / (high - low);
      frequency = static_cast<float>((1 - smooth) * f / factor + smooth * f);
    }
  }
}

void rope_tables(int64_t positions, const std::vector<float>& frequencies, std::vector<double>& cosine, std::vector<double>& sine) {
  const size_t half = frequencies.size();
  cosine.resize(static_cast<size_t>(positions) * half);
  sine.resize(cosine.size());
  for (int64_t p = 0; p < positions; ++p)
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequencies[i];
      cosine[p * half + i] = std::cos(static_cast<double>(angle));
      sine[p * half + i] = std::sin(static_cast<double>(angle));
    }
}

template void rope(int64_t, int, int, std::span<const int32_t>, const float*, const float*, bool, float*, int);
template void rope(int64_t, int, int, std::span<const int32_t>, const double*, const double*, bool, double*, int);

}  // namespace fedlora::ref
