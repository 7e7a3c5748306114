// Fitting of the levels. A cell is a run of bins, given by its end; its level is the mean of its magnitudes.
#include "compression/magnitude_levels.h"

#include <algorithm>
#include <cmath>

namespace fedlora {

MagnitudeHistogram::MagnitudeHistogram(uint32_t smallest_bits, uint32_t largest_bits)
    : first_bin_(smallest_bits >> 16), count_((largest_bits >> 16) - first_bin_ + 1), sum_(count_.size()), level_(count_.size()) {}

double MagnitudeHistogram::mean(size_t begin, size_t end) const {
  double count = 0, sum = 0;
  for (size_t bin = begin; bin < end; ++bin) count += count_[bin], sum += sum_[bin];
  return count > 0 ? sum / count : 0.0;
}

// Squared error of a cut = constant − gain, gain = (left sum)² / left count + (right sum)² / right count. The last of the cuts that leave
// at most `excess` times the least error; the first of the best ones when excess is 1. The constant is taken for the sum over bins of
// sum² / count: what is lost within a bin no cut can help.
std::vector<size_t> MagnitudeHistogram::best_cut(double excess) const {
  double all_count = 0, all_sum = 0, constant = 0;
  for (size_t bin = 0; bin < count_.size(); ++bin) {
    all_count += count_[bin], all_sum += sum_[bin];
    if (count_[bin] > 0) constant += sum_[bin] * (sum_[bin] / count_[bin]);
  }
  const auto visit_cuts = [&](auto&& visit) {
    double count = 0, sum = 0;
    for (size_t bin = 0; bin < count_.size(); ++bin) {
      count += count_[bin], sum += sum_[bin];
      const double rest_count = all_count - count, rest_sum = all_sum - sum;
      visit(bin + 1, (count > 0 ? sum * (sum / count) : 0) + (rest_count > 0 ? rest_sum * (rest_sum / rest_count) : 0));
    }
  };
  double best = -1;
  size_t cut = count_.size();
  visit_cuts([&](size_t end, double gain) {
    if (gain > best) best = gain, cut = end;
  });
  if (excess > 1)
    visit_cuts([&](size_t end, double gain) {
      if (constant - gain <= excess * (constant - best)) cut = std::max(cut, end);
    });
  return {cut, count_.size()};
}

std::vector<size_t> MagnitudeHistogram::equal_cells(size_t levels) const {
  double total = 0;
  for (double count : count_) total += std::cbrt(count);
  std::vector<size_t> ends(levels, count_.size());
  double running = 0;
  size_t cell = 0;
  for (size_t bin = 0; bin < count_.size(); ++bin) {
    running += std::cbrt(count_[bin]);
    while (cell + 1 < levels && running * static_cast<double>(levels) >= total * static_cast<double>(cell + 1)) ends[cell++] = bin + 1;
  }
  return ends;
}

// One step of Lloyd's iteration: every bin goes to the nearer of the neighbouring means.
bool MagnitudeHistogram::improve(std::vector<size_t>& ends) const {
  std::vector<double> means(ends.size());
  for (size_t cell = 0; cell < ends.size(); ++cell) means[cell] = mean(cell ? ends[cell - 1] : 0, ends[cell]);
  bool changed = false;
  size_t bin = 0;
  for (size_t cell = 0; cell + 1 < ends.size(); ++cell) {
    const double middle = (means[cell] + means[cell + 1]) / 2;
    if (means[cell + 1] == 0) continue;  // an empty neighbour attracts nothing
    while (bin < count_.size() && (count_[bin] == 0 || sum_[bin] / count_[bin] <= middle)) ++bin;
    changed = changed || ends[cell] != bin;
    ends[cell] = bin;
  }
  return changed;
}

void MagnitudeHistogram::set_levels(const std::vector<size_t>& ends) {
  constexpr uint16_t largest_finite = 0x7f7f;
  levels_.assign(ends.size(), bf16{0});
  size_t begin = 0;
  for (size_t cell = 0; cell < ends.size(); ++cell) {
    const size_t end = std::max(ends[cell], begin);
    const uint16_t bits = to_bf16(static_cast<float>(mean(begin, end))).bits;
    levels_[cell] = {std::min(bits, largest_finite)};
    std::fill(level_.begin() + static_cast<ptrdiff_t>(begin), level_.begin() + static_cast<ptrdiff_t>(end), static_cast<uint8_t>(cell));
    begin = end;
  }
}

void MagnitudeHistogram::fit(int levels) {
  std::vector<size_t> ends = levels == 2 ? best_cut(1) : equal_cells(static_cast<size_t>(levels));
  constexpr int most_iterations = 20;
  for (int i = 0; i < most_iterations && levels > 2; ++i)
    if (!improve(ends)) break;
  ends.back() = count_.size();
  set_levels(ends);
}

void MagnitudeHistogram::fit_cheapest() {
  constexpr double excess = 1.2;
  set_levels(best_cut(excess));
}

}  // namespace fedlora
