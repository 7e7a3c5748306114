/// Which elements randk and blocks send: a matter of a seed alone, so that all who share it send the same ones and their messages add up.
///
/// A segment of the update is cut into R runs of 2^b elements (the last may be shorter; randk has b = 0) and these into c strata of
/// neighbours, stratum j from ⌊j·R/c⌋ to ⌊(j+1)·R/c⌋; one run of each is sent, all with the same probability. So c runs are sent in rising
/// order, an element is one of them with probability 1 / (runs of its stratum), and element times that number is an estimate of it
/// without bias, of the variance (width − 1)·t² that drawing without strata has on average (Stich et al. 2018, rand-k; stratified here).
///
/// Stratum j of segment s takes word j mod 4 of Philox4x32-10 under key = seed, stream = s, at counter j / 4, and from it the run
/// ⌊word · width / 2^32⌋ of its own.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

#include "base/philox64.h"

namespace fedlora {

/// Neighbouring elements with a density of their own.
struct ChosenSegment {
  uint32_t length;
  /// Strata, hence runs sent.
  uint32_t chosen;
};

struct ChosenRun {
  int64_t begin, end;
  /// Runs of the stratum.
  int64_t width;
};

inline int64_t runs_of(int64_t length, int run_log2) { return (length + (int64_t{1} << run_log2) - 1) >> run_log2; }

/// Calls visit(ChosenRun) in rising order. Every segment has at most as many strata as runs.
template <class Visit>
void for_each_run(std::span<const ChosenSegment> segments, int run_log2, uint64_t seed, Visit&& visit) {
  int64_t first = 0;
  for (size_t s = 0; s < segments.size(); ++s) {
    const int64_t length = segments[s].length;
    const uint64_t runs = static_cast<uint64_t>(runs_of(length, run_log2)), strata = segments[s].chosen;
    const uint64_t quotient = strata == 0 ? 0 : runs / strata, remainder = runs - quotient * strata;
    uint32_t words[64];
    // low = ⌊j·R/c⌋ and rest = j·R mod c, from stratum to stratum without a division.
    for (uint64_t j = 0, low = 0, rest = 0, width = 0; j < strata; ++j, low += width) {
      if (j % 64 == 0) philox64(seed, s, j / 4, words);
      rest += remainder, width = quotient;
      if (rest >= strata) rest -= strata, ++width;
      const int64_t begin = static_cast<int64_t>(low + ((uint64_t{words[16 * (j % 4) + j / 4 % 16]} * width) >> 32)) << run_log2;
      visit(ChosenRun{first + begin, first + std::min(begin + (int64_t{1} << run_log2), length), static_cast<int64_t>(width)});
    }
    first += length;
  }
}

}  // namespace fedlora
