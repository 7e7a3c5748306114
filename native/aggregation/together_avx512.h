/// Kernels that add several messages in one pass over the sums, with 512-bit vectors.
#pragma once
#include "aggregation/kernels.h"

namespace fedlora {

/// `table` with those of the kernels that this processor can run.
SumKernels with_kernels_together(SumKernels table);

}  // namespace fedlora
