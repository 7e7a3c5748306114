/// Philox with 512-bit vectors: for the stochastic rounding, and for random directions.
#pragma once
#include <cstdint>

namespace fedlora {

/// philox64 of base/philox64.h.
void philox64_avx512(uint64_t key, uint64_t stream, uint64_t counter, uint32_t* words);

}  // namespace fedlora
