// Histograms and the collection of candidates.
#include "compression/topk_select.h"

#include <algorithm>

namespace fedlora {

namespace {
constexpr int bin_shift = 20;
constexpr size_t bins = 2048, digits = 1024;

/// Magnitudes above `bits` are sent, and of those equal to it the first `ties`.
struct Threshold {
  uint32_t bits;
  int64_t ties;
};

/// Counts of small numbers. Neighbours often are equal; four tables keep an increment from waiting for the one before.
template <size_t size>
struct Tally {
  static constexpr size_t tables = 4;
  std::vector<uint32_t> counts = std::vector<uint32_t>(tables * size);
  void add(const uint16_t* numbers, int64_t count) {
    uint32_t* t = counts.data();
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
      ++t[numbers[i]], ++t[size + numbers[i + 1]], ++t[2 * size + numbers[i + 2]], ++t[3 * size + numbers[i + 3]];
    for (; i < count; ++i) ++t[numbers[i]];
  }
  /// Adds the counts of the first `digits` numbers to `sums` and begins anew.
  template <class T>
  void move_to(T* sums, size_t numbers) {
    for (size_t i = 0; i < counts.size(); ++i)
      if (i % size < numbers) sums[i % size] += static_cast<T>(counts[i]);
    std::fill(counts.begin(), counts.end(), 0u);
  }
};

size_t members(const EncodeInput& input) { return input.pool ? static_cast<size_t>(input.pool->threads()) : 1; }

struct Magnitudes {
  std::vector<int64_t> histogram = std::vector<int64_t>(bins);
  uint32_t largest = 0;
};

Magnitudes count_magnitudes(const EncodeInput& input, const CodecKernels& kernels) {
  std::vector<Tally<bins>> tallies(members(input));
  Magnitudes found;
  found.largest = largest_target(input, kernels, [&](int64_t, int64_t count, const float* targets, int member) {
    alignas(64) uint16_t bin[encode_chunk];
    kernels.magnitude_bins(targets, count, bin);
    tallies[static_cast<size_t>(member)].add(bin, count);
  });
  for (Tally<bins>& tally : tallies) tally.move_to(found.histogram.data(), bins);
  return found;
}

/// The largest digit such that at least `needed` are as large; `needed` becomes how many of the digit itself are.
uint32_t cut_digit(const int64_t* counts, int64_t& needed) {
  uint32_t digit = digits - 1;
  while (digit > 0 && counts[digit] < needed) needed -= counts[digit--];
  return digit;
}

/// The exact threshold within bin `bin`, of which `needed` ≥ 1 are sent: two more histograms of 10 bits each, over the candidates.
Threshold refine(const std::vector<Candidate>& candidates, uint32_t bin, int64_t needed) {
  uint32_t prefix = bin;
  for (int shift = 10; shift >= 0; shift -= 10) {
    std::vector<int64_t> counts(digits);
    for (const Candidate& c : candidates)
      if (c.magnitude() >> (shift + 10) == prefix) ++counts[(c.magnitude() >> shift) & (digits - 1)];
    prefix = prefix << 10 | cut_digit(counts.data(), needed);
  }
  return {prefix, needed};
}

/// What to collect: magnitudes from `lowest` on; of those equal to `lowest` so many in each slice, all when `ties` is empty.
struct Cut {
  uint32_t lowest;
  size_t most;
  std::vector<int64_t> ties;
};

/// The same threshold by sweeps over the input. The second counts each slice for itself, so that the ties go to the lowest indices.
Cut refine_by_sweeps(const EncodeInput& input, uint32_t bin, int64_t needed, int64_t wanted, const CodecKernels& kernels) {
  constexpr size_t numbers = digits + 1;  // the last one: not in the prefix
  std::vector<Tally<numbers>> tallies(members(input));
  alignas(64) std::vector<int64_t> counts(digits);
  for_each_chunk(input, kernels, [&](int64_t, int64_t count, const float* targets, int member) {
    alignas(64) uint16_t digit[encode_chunk];
    kernels.magnitude_digits(targets, count, bin, 10, digit);
    tallies[static_cast<size_t>(member)].add(digit, count);
  });
  for (Tally<numbers>& tally : tallies) tally.move_to(counts.data(), digits);
  const uint32_t prefix = bin << 10 | cut_digit(counts.data(), needed);

  const size_t slices = static_cast<size_t>(input.slices());
  std::vector<uint32_t> of_slice(slices * digits);
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, const float* targets, int member) {
    alignas(64) uint16_t digit[encode_chunk];
    kernels.magnitude_digits(targets, count, prefix, 0, digit);
    Tally<numbers>& tally = tallies[static_cast<size_t>(member)];
    tally.add(digit, count);
    const int64_t end = first + count, slice = first / encode_slice;
    if (end == input.count || end % encode_slice == 0) tally.move_to(of_slice.data() + static_cast<size_t>(slice) * digits, digits);
  });
  std::fill(counts.begin(), counts.end(), 0);
  for (size_t i = 0; i < of_slice.size(); ++i) counts[i % digits] += of_slice[i];
  const uint32_t digit = cut_digit(counts.data(), needed);
  Cut cut{prefix << 10 | digit, static_cast<size_t>(wanted), std::vector<int64_t>(slices)};
  for (size_t s = 0; s < slices; ++s) {
    cut.ties[s] = std::min<int64_t>(of_slice[s * digits + digit], needed);
    needed -= cut.ties[s];
  }
  return cut;
}

/// The candidates in order of position.
std::vector<Candidate> collect(const EncodeInput& input, const Cut& cut, const CodecKernels& kernels) {
  // Each member appends what it finds to a list of its own, which has room for everything, so that no task needs memory that may fail.
  struct Part {
    int member;
    size_t begin, end;
    int64_t ties;
  };
  std::vector<Part> parts(static_cast<size_t>(input.slices()));
  for (size_t s = 0; s < parts.size(); ++s) parts[s] = {-1, 0, 0, cut.ties.empty() ? INT64_MAX : cut.ties[s]};
  std::vector<std::vector<Candidate>> found(members(input));
  for (std::vector<Candidate>& list : found) list.reserve(cut.most);
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, float* targets, int member) {
    const int64_t padded = (count + 63) / 64 * 64;
    std::fill(targets + count, targets + padded, 0.0f);
    std::vector<Candidate>& list = found[static_cast<size_t>(member)];
    Part& part = parts[static_cast<size_t>(first / encode_slice)];
    if (part.member < 0) part.member = member, part.begin = list.size();
    uint64_t masks[encode_chunk / 64];
    kernels.select_mask(targets, padded, part.ties > 0 ? cut.lowest : cut.lowest + 1, masks);
    for (int64_t i = 0; i < padded; i += 64)
      for (uint64_t mask = masks[i / 64]; mask != 0; mask &= mask - 1) {
        const int64_t j = i + std::countr_zero(mask);
        const Candidate candidate{static_cast<uint32_t>(first + j), targets[j]};
        if (candidate.magnitude() > cut.lowest || part.ties-- > 0) list.push_back(candidate);
      }
    part.end = list.size();
  });
  if (found.size() == 1) return std::move(found.front());
  std::vector<Candidate> all;
  all.reserve(cut.most);
  for (const Part& part : parts) {
    const Candidate* list = found[static_cast<size_t>(part.member)].data();
    all.insert(all.end(), list + part.begin, list + part.end);
  }
  return all;
}
}  // namespace

TopkSelection select_topk(const EncodeInput& input, int64_t wanted, const CodecKernels& kernels) {
  const Magnitudes magnitudes = count_magnitudes(input, kernels);
  if (magnitudes.largest == 0) return {};
  size_t bin = bins - 1;
  int64_t above = 0;
  while (bin > 0 && above + magnitudes.histogram[bin] < wanted) above += magnitudes.histogram[bin--];
  const uint32_t lowest = std::max(static_cast<uint32_t>(bin) << bin_shift, 1u);  // a zero is never sent
  const size_t most = static_cast<size_t>(above + magnitudes.histogram[bin]);
  // Bin 0 holds the zeros, which nobody collects.
  constexpr int64_t crowd = 8;
  if (bin > 0 && magnitudes.histogram[bin] > crowd * wanted + encode_slice) {
    const Cut cut = refine_by_sweeps(input, static_cast<uint32_t>(bin), wanted - above, wanted, kernels);
    return {collect(input, cut, kernels), cut.lowest, magnitudes.largest};
  }
  TopkSelection chosen{collect(input, {lowest, most, {}}, kernels), lowest, magnitudes.largest};
  wanted = std::min(wanted, static_cast<int64_t>(chosen.sent.size()));
  Threshold threshold = refine(chosen.sent, static_cast<uint32_t>(bin), wanted - above);
  std::erase_if(chosen.sent, [&](const Candidate& c) {
    return c.magnitude() < threshold.bits || (c.magnitude() == threshold.bits && threshold.ties-- <= 0);
  });
  return chosen;
}

}  // namespace fedlora
