/// Gaps between positions that were chosen as if at random, coded near their entropy whatever the density is and wherever it changes.
///
/// gap + 1 has a width w (its bits after the leading one) and w bits below it. w is coded in unary and the top three of the bits one by
/// one, by adaptive probabilities; what is below stays as it is ("plain": it tells next to nothing). Were the positions independent with
/// probability p, the gap would be geometric with q = 1 − p (Golomb 1966), so that
///   P(longer than w | at least w) = q^(2^w)        P(upper half of an interval of 2h | in it) = q^h / (1 + q^h)
/// The probabilities begin there, with the weight of `confidence` bits, and follow the data. Their context is the mean of the last gaps,
/// in half octaves around that of the whole message: updates are dense in some tensors and rows and thin in others.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>

#include "compression/range_coder.h"

namespace fedlora {

class GapModel {
 public:
  /// `sent` ≥ 1 positions among `count`.
  GapModel(int64_t count, int64_t sent);

  /// Bits of a gap that stay as they are; they are its lowest.
  static int plain_bits(uint64_t gap) { return std::max(static_cast<int>(std::bit_width(gap + 1)) - 1 - modelled, 0); }

  void put(RangeEncoder& coder, uint64_t gap) {
    const int width = static_cast<int>(std::bit_width(gap + 1)) - 1;
    Context& at = contexts_[context_];
    for (int w = 0; w < width; ++w) coder.put(true, at.longer[w]);
    if (width < widest) coder.put(false, at.longer[width]);
    for (int bit = width - 1, node = 1; bit >= 0 && bit >= width - modelled; --bit) {
      const bool one = (gap + 1) >> bit & 1;
      coder.put(one, at.upper[width][node]);
      node = 2 * node + one;
    }
    learn(gap + 1);
  }

  /// The gap; `plain(bits)` gives so many bits, at most 28.
  template <class Plain>
  uint64_t get(RangeDecoder& coder, Plain&& plain) {
    Context& at = contexts_[context_];
    int width = 0;
    while (width < widest && coder.get(at.longer[width])) ++width;
    const int coded = std::min(width, modelled);
    uint64_t value = 1;
    for (int bit = 0; bit < coded; ++bit) value = 2 * value + coder.get(at.upper[width][value]);
    if (width > coded) value = value << (width - coded) | plain(width - coded);
    learn(value);
    return value - 1;
  }

 private:
  static constexpr int modelled = 3, widest = 31, contexts = 8, confidence = 96;
  /// A gap moves the running mean by 1/32 of the distance and counts for no more than eight times the mean of the whole.
  static constexpr int memory_log2 = 5, most_means = 8;
  /// Means are in 2^-8 of an element.
  static constexpr int mean_bits = 8;

  struct Context {
    AdaptiveBit longer[widest + 1];
    AdaptiveBit upper[widest + 1][1 << modelled];  // by the bits above, behind a leading one
  };

  void learn(uint64_t value) {
    const int64_t met = static_cast<int64_t>(std::min(value << mean_bits, most_means * mean_of_all_));
    mean_ += (met - mean_) >> memory_log2;
    // Half octaves of mean / mean of all; the middle one reaches from 0.85 to 1.28.
    const uint64_t ratio = std::max<uint64_t>(static_cast<uint64_t>(mean_) * 300 / mean_of_all_, 2);
    const int octave = static_cast<int>(std::bit_width(ratio)), half = ratio >> (octave - 2) & 1;
    context_ = std::clamp(2 * (octave - 9) + half + contexts / 2, 0, contexts - 1);
  }

  Context contexts_[contexts];
  uint64_t mean_of_all_;
  int64_t mean_;
  int context_ = contexts / 2;
};

}  // namespace fedlora
