/// Which elements topk sends: the k of largest magnitude, of equal ones those of lower index, never a zero.
///
/// A first sweep fills a histogram of magnitudes (8 bits of exponent, 3 of mantissa); the bin that holds the k-th largest bounds the
/// candidates, and a second sweep collects them: the exact threshold needs no more. Where that bin is crowded, as with values that are
/// all alike, two sweeps between the two find the exact threshold first, so that few are collected.
#pragma once
#include <bit>
#include <cstdint>
#include <vector>

#include "compression/encode.h"

namespace fedlora {

struct Candidate {
  uint32_t position;
  float value;
  uint32_t magnitude() const { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }
};

struct TopkSelection {
  std::vector<Candidate> sent;  // in order of position
  /// Bit patterns that bound the magnitudes of what is sent.
  uint32_t lowest = 0, largest = 0;
};

/// The elements that are sent when `wanted` are asked for: fewer when there are not so many that are not 0. Nothing is written.
/// Throws E_NONFINITE.
TopkSelection select_topk(const EncodeInput& input, int64_t wanted, const CodecKernels& kernels);

}  // namespace fedlora
