/// Random weights made directly in their packed form, so that a weight of any size needs no plain copy. For benchmarks: the numbers mean
/// nothing, their magnitudes are those of a fresh model (standard deviation about 0.02).
#pragma once
#include "quant/matrix.h"

namespace fedlora {

/// SplitMix64 (Steele et al. 2014): one multiply-shift chain a word.
class RandomWords {
 public:
  explicit RandomWords(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  /// Uniform in ±bound.
  float symmetric(float bound) { return (static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f) * bound; }

 private:
  uint64_t state_;
};

/// W [N, K]; `block` and `nested` concern nf4 and fp4 only. Formats: f32, bf16, int8, nf4, fp4.
Matrix random_matrix(RandomWords& words, Format format, int64_t N, int64_t K, int block, bool nested);

}  // namespace fedlora
