/// How a long sum is cut, so that every multiprocessor takes part: its slices' parts are added in order by a second kernel. By its length
/// alone.
#pragma once
#include <algorithm>
#include <cstdint>

namespace fedlora::cuda {

/// Length of a slice: steps of 64, four at least, and at most 16 slices, whose parts are read again.
constexpr int64_t slice_of(int64_t length) { return std::max<int64_t>(256, (length + 1023) / 1024 * 64); }
constexpr int64_t slices_of(int64_t length) { return (length + slice_of(length) - 1) / slice_of(length); }

}  // namespace fedlora::cuda
