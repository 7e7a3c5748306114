/// A few levels for many magnitudes, fitted on a histogram whose bins are the 16 high bits of the float: 8 of exponent, 7 of mantissa.
/// Two levels are the exact optimum over all places to cut the histogram, or the cut of the fewest bits that is nearly as good; more levels
/// start from cells of equal share of the sum of count^(1/3) (Panter and Dite 1951) and are improved by Lloyd's iteration. The result
/// depends on the magnitudes only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/half.h"

namespace fedlora {

class MagnitudeHistogram {
 public:
  /// Magnitudes between these bit patterns will be added.
  MagnitudeHistogram(uint32_t smallest_bits, uint32_t largest_bits);
  void add(uint32_t bits, float magnitude) {
    const size_t bin = (bits >> 16) - first_bin_;
    ++count_[bin];
    sum_[bin] += magnitude;
  }
  /// Fits `levels` (at most 128), rising, as bf16; `level_of` then knows the level of every magnitude added.
  void fit(int levels);
  /// Fits two levels such that which of the two takes the fewest bits (the share of the upper one is smallest), while the squared error is
  /// at most 1.2 of what `fit` leaves.
  void fit_cheapest();
  const std::vector<bf16>& levels() const { return levels_; }
  int level_of(uint32_t bits) const { return level_[(bits >> 16) - first_bin_]; }

 private:
  void set_levels(const std::vector<size_t>& ends);
  std::vector<size_t> best_cut(double excess) const;
  std::vector<size_t> equal_cells(size_t levels) const;
  bool improve(std::vector<size_t>& ends) const;
  double mean(size_t begin, size_t end) const;

  uint32_t first_bin_;
  std::vector<double> count_, sum_;
  std::vector<uint8_t> level_;
  std::vector<bf16> levels_;
};

}  // namespace fedlora
