/// Philox4x32-10 at sixteen counters side by side, in plain loops that a compiler vectorises for whatever set they are inlined into.
#pragma once
#include <cstdint>
#include <cstring>

#include "base/inline.h"

namespace fedlora {

/// words[16 w + lane] is word w of the draw at `counter` + lane; `counter` is a multiple of 16.
using Draw64 = void (*)(uint64_t key, uint64_t stream, uint64_t counter, uint32_t* words);

FEDLORA_INLINE void philox64(uint64_t key, uint64_t stream, uint64_t counter, uint32_t* __restrict words) {
  uint32_t c0[16], c1[16], c2[16], c3[16];
  for (uint32_t lane = 0; lane < 16; ++lane) {  // no carry into the counter's high half
    c0[lane] = static_cast<uint32_t>(counter) + lane;
    c1[lane] = static_cast<uint32_t>(counter >> 32);
    c2[lane] = static_cast<uint32_t>(stream), c3[lane] = static_cast<uint32_t>(stream >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    for (int lane = 0; lane < 16; ++lane) {
      const uint64_t p0 = 0xD2511F53ull * c0[lane], p1 = 0xCD9E8D57ull * c2[lane];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[lane] ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[lane] ^ k1;
      c1[lane] = static_cast<uint32_t>(p1), c3[lane] = static_cast<uint32_t>(p0);
      c0[lane] = n0, c2[lane] = n2;
    }
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  std::memcpy(words, c0, 64), std::memcpy(words + 16, c1, 64);
  std::memcpy(words + 32, c2, 64), std::memcpy(words + 48, c3, 64);
}

}  // namespace fedlora
