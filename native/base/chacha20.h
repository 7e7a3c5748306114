/// The ChaCha20 key stream: 32-bit words that nobody without the key can tell from coin flips. As many blocks side by side as a vector of
/// the instruction set has lanes, for whatever function they are inlined into.
/// Source: Nir and Langley 2018, RFC 8439, "ChaCha20 and Poly1305 for IETF Protocols", section 2.3, with a nonce of zeros: a key serves
/// once.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>

#include "base/inline.h"

namespace fedlora {

/// 32 bytes read as little-endian words.
using ChaChaKey = std::array<uint32_t, 8>;

/// Vectors of the instruction sets.
struct Four {
  typedef uint32_t Lanes __attribute__((vector_size(16)));
};
struct Eight {
  typedef uint32_t Lanes __attribute__((vector_size(32)));
};
struct Sixteen {
  typedef uint32_t Lanes __attribute__((vector_size(64)));
};

/// words[16 w + lane] is word w of block `counter` + lane.
template <class Width>
FEDLORA_INLINE void chacha20_blocks16(const ChaChaKey& key, uint32_t counter, uint32_t* __restrict words) {
  typedef typename Width::Lanes Lanes;
  constexpr uint32_t width = sizeof(Lanes) / 4;
  Lanes start[16] = {};
  constexpr uint32_t constants[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};  // "expand 32-byte k"
  for (int w = 0; w < 4; ++w) start[w] += constants[w];
  for (int w = 0; w < 8; ++w) start[4 + w] += key[static_cast<size_t>(w)];
  Lanes lanes = Lanes{} + counter;
  for (uint32_t lane = 0; lane < width; ++lane) lanes[lane] += lane;
  start[12] = lanes;
#define FEDLORA_ADD_ROTATE(a, b, d, bits) x[a] += x[b], x[d] ^= x[a], x[d] = x[d] << bits | x[d] >> (32 - bits)
#define FEDLORA_QUARTER(a, b, c, d)                                 \
  FEDLORA_ADD_ROTATE(a, b, d, 16), FEDLORA_ADD_ROTATE(c, d, b, 12); \
  FEDLORA_ADD_ROTATE(a, b, d, 8), FEDLORA_ADD_ROTATE(c, d, b, 7)
  for (uint32_t first = 0; first < 16; first += width, start[12] += width) {
    Lanes x[16];
    for (int w = 0; w < 16; ++w) x[w] = start[w];
    for (int round = 0; round < 10; ++round) {
      FEDLORA_QUARTER(0, 4, 8, 12);
      FEDLORA_QUARTER(1, 5, 9, 13);
      FEDLORA_QUARTER(2, 6, 10, 14);
      FEDLORA_QUARTER(3, 7, 11, 15);
      FEDLORA_QUARTER(0, 5, 10, 15);
      FEDLORA_QUARTER(1, 6, 11, 12);
      FEDLORA_QUARTER(2, 7, 8, 13);
      FEDLORA_QUARTER(3, 4, 9, 14);
    }
    for (uint32_t w = 0; w < 16; ++w) {
      x[w] += start[w];
      std::memcpy(words + 16 * w + first, &x[w], sizeof x[w]);
    }
  }
#undef FEDLORA_QUARTER
#undef FEDLORA_ADD_ROTATE
}

}  // namespace fedlora
