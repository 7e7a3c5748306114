/// The leading triplets of a large sum, by way of squares.
#pragma once
#include <optional>

#include "factors/factored.h"

namespace fedlora::factors {

/// leading(sum, rank) certified to 1e-12 ‖M‖₂, or nothing: for sums whose wanted singular values are too small beside the largest, or whose
/// factors nearly cancel. rank + 8 ≤ min(sum.rank(), out, in).
std::optional<Leading> quick(const FactoredSum& sum, int64_t rank, ThreadPool* pool = nullptr);

}  // namespace fedlora::factors
