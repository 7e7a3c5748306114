/// From values to whole numbers that add up, and back to their mean.
///
///   q_i = min(⌊(clip(x_i, ±C) + C)·(2^bits − 1)/(2C) + u_i⌋, 2^bits − 1)      in double; u_i in [0, 1): E[q_i] lies on the value
///   mean_i = (S_i/W)·2C/(2^bits − 1) − C                                      S = Σ w·q, W = Σ w
///
/// u_i = (word >> 8)·2⁻²⁴, word = Philox(seed, stream, counter i >> 2)[i & 3].
#pragma once
#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace fedlora {

struct Grid {
  /// C > 0.
  double clip;
  /// 1 … 24.
  int bits;
  double top() const { return static_cast<double>((int64_t{1} << bits) - 1); }
};

/// Where the roundings are drawn.
struct Draws {
  uint64_t seed, stream;
};

/// words[i] = weight·q_i mod 2^(8·word_bytes), little-endian. Throws E_ARGUMENT (grid, weight 0, weight·(2^bits − 1) beyond a word),
/// E_SHAPE, and E_NONFINITE for a value that is no number: what would be clipped to an end of the grid may be infinite.
void quantize_weighted(std::span<const float> values, const Grid& grid, uint64_t weight, const Draws& draws, int word_bytes,
                       std::span<uint8_t> words, ThreadPool* pool = nullptr);

/// mean[i] from sums[i]; T is float (rounded once) or double. Throws E_ARGUMENT (grid, total not above 0), E_SHAPE.
template <class T>
void dequantize_mean(std::span<const uint8_t> sums, int word_bytes, const Grid& grid, double total, std::span<T> mean,
                     ThreadPool* pool = nullptr);

}  // namespace fedlora
