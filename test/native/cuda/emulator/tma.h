/// The tensor memory accelerator: boxes of tensors, copied at a random later moment; outside the tensor a load gives zeros.
#pragma once
#include <cstdint>

#include "include/cuda.h"

namespace emulator {

/// cp.async.bulk.tensor.Nd.shared.global: the box at `at` (fastest first) arrives at `to`, its bytes at `barrier`.
void tma_load(void* to, const CUtensorMap* map, uint64_t* barrier, const int* at, int dimensions);

}  // namespace emulator
