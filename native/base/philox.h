/// Philox4x32-10, a counter-based generator: the four 32-bit words of draw `counter` under `key` are a pure function, so any
/// element's draw is addressable and independent of threads and order.
/// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace fedlora {

struct Philox {
  uint64_t key = 0;
  /// Distinguishes independent uses of one seed (dropout of layer 3, shuffling, …).
  uint64_t stream = 0;

  std::array<uint32_t, 4> operator()(uint64_t counter) const {
    uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
    uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
    uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = 0xD2511F53ull * c0, p1 = 0xCD9E8D57ull * c2;
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1), c3 = static_cast<uint32_t>(p0);
      c0 = n0, c2 = n2;
      k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
  }
};

/// Uniform in [0, 1), 24 bits: exact in f32.
inline float uniform_f32(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

}  // namespace fedlora
