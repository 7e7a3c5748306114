/// The draws of the stochastic rounding with 512-bit vectors.
#pragma once
#include <cstdint>

namespace fedlora {

/// Philox4x32-10 under `key`, stream 0, at counters counter … counter + 15, a multiple of 16: words[16 w + lane] is word w of a lane's.
void philox64_avx512(uint64_t key, uint64_t counter, uint32_t* words);

}  // namespace fedlora
