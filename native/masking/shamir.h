/// Shamir's secret sharing (Shamir 1979, "How to share a secret"), byte by byte over GF(2⁸) modulo x⁸ + x⁴ + x³ + x + 1 (0x11B).
///
///   share(x)[j] = secret[j] ⊕ Σ_m c_m[j]·x^m,  m = 1 … t − 1        t shares give the secret back, fewer say nothing of it
///
/// Sums and products are computed without tables and without branches on their operands: time does not depend on secrets.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fedlora {

/// a·b in GF(2⁸).
uint8_t gf256_product(uint8_t a, uint8_t b);

/// The share at x, 1 … 255, as long as the secret; `coefficients` are c_1 … c_(t−1) one after the other. Throws E_ARGUMENT, E_SHAPE.
std::vector<uint8_t> shamir_share(std::span<const uint8_t> secret, std::span<const uint8_t> coefficients, int x);

/// The polynomial through `shares` (one after the other, at `places`) at x; x = 0 gives the secret. Throws E_ARGUMENT for no share, a
/// place of 0 and one that is there twice; E_SHAPE for shares of different lengths.
std::vector<uint8_t> shamir_join(std::span<const uint8_t> places, std::span<const uint8_t> shares, int x = 0);

}  // namespace fedlora
