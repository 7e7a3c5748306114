/// Sixteen blocks of normals at a time, inlined into a function per instruction set. Only operations whose result IEEE 754 fixes, none
/// contracted: every set gives the same bits.
///
/// The polynomials are least-squares fits at Chebyshev nodes, weighted towards the least relative error of the whole function; in exact
/// arithmetic ln is right to 6e-9, sin to 4e-9, cos to 1e-9.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "base/chacha20.h"
#include "base/inline.h"
#include "base/philox64.h"

namespace fedlora::normals_body {

/// √(−2 ln u) of u = (w + 1/2) / 2^32. Near 1, where ln u = ln(1 − t), t is taken from the word itself and keeps all its bits.
FEDLORA_INLINE float radius(uint32_t word) {
  constexpr uint32_t sqrt_half_word = 0xB504F334u;  // √½ · 2^32
  constexpr int32_t sqrt_half_bits = 0x3F3504F3;    // of the float √½
  constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  const uint32_t near_one = word >= sqrt_half_word ? ~0u : 0u;  // a mask: arithmetic in a branch could not be done side by side
  const uint32_t t = word ^ near_one;
  const float high = static_cast<float>(static_cast<int32_t>(t >> 16)), low = static_cast<float>(static_cast<int32_t>(t & 0xffffu));
  const float x = (high * 0x1p16f + (low + 0.5f)) * 0x1p-32f;
  const int32_t bits = std::bit_cast<int32_t>(x), exponent = (bits - sqrt_half_bits) >> 23;
  const float mantissa = std::bit_cast<float>(bits - exponent * (1 << 23));  // in [√½, √2)
  const uint32_t far = std::bit_cast<uint32_t>(mantissa - 1.0f), near = std::bit_cast<uint32_t>(-x);
  const float f = std::bit_cast<float>((near & near_one) | (far & ~near_one));
  const float e = static_cast<float>(exponent & static_cast<int32_t>(~near_one));
  float p = -0.07634472f;  // ln(1 + f) = f − f²/2 + f³·p(f)
  p = p * f + 0.12761568f;
  p = p * f - 0.13160187f;
  p = p * f + 0.14201759f;
  p = p * f - 0.16623357f;
  p = p * f + 0.20001227f;
  p = p * f - 0.2500082f;
  p = p * f + 0.3333333f;
  const float ln = e * ln2_high + (f + (f * f * (f * p - 0.5f) + e * ln2_low));
  return std::sqrt(-2.0f * ln);
}

/// Cosine and sine of 2π·(w + 1/2) / 2^32. The quadrant comes off in whole numbers; what is left is at most π/4.
FEDLORA_INLINE void turn(uint32_t word, float& cosine, float& sine) {
  constexpr float unit = 0x1.921fb6p-30f;  // 2π / 2^32
  const uint32_t quadrant = (word + 0x20000000u) >> 30;
  const int32_t rest = static_cast<int32_t>(word - (quadrant << 30));
  const float a = (static_cast<float>(rest) + 0.5f) * unit, square = a * a;
  const float s = a + a * square * ((-1.9517298e-4f * square + 8.332178e-3f) * square - 0.16666655f);
  const float c = (1.0f - 0.5f * square) + square * square * ((2.4433157e-5f * square - 1.3887316e-3f) * square + 0.041666646f);
  const bool odd = (quadrant & 1) != 0;
  cosine = std::bit_cast<float>(std::bit_cast<uint32_t>(odd ? s : c) ^ (((quadrant + 1) & 2) << 30));
  sine = std::bit_cast<float>(std::bit_cast<uint32_t>(odd ? c : s) ^ ((quadrant & 2) << 30));
}

/// sums[16 j + lane] += scale · element j of the block whose words are words[16 w + lane].
FEDLORA_INLINE void add_words(double* __restrict sums, const uint32_t* __restrict words, double scale) {
  for (int pair = 0; pair < 2; ++pair) {
    const uint32_t* w = words + 32 * pair;
    alignas(64) float radii[16], cosines[16], sines[16];
    for (int lane = 0; lane < 16; ++lane) radii[lane] = radius(w[lane]);
    for (int lane = 0; lane < 16; ++lane) turn(w[16 + lane], cosines[lane], sines[lane]);
    double* even = sums + 32 * pair;
    for (int lane = 0; lane < 16; ++lane) even[lane] += scale * static_cast<double>(radii[lane] * cosines[lane]);
    for (int lane = 0; lane < 16; ++lane) even[16 + lane] += scale * static_cast<double>(radii[lane] * sines[lane]);
  }
}

/// Sixty-four elements a group; first_block is a multiple of 16.
template <Draw64 draw64>
FEDLORA_INLINE void add_normals(double* __restrict sums, uint64_t key, uint64_t stream, uint64_t first_block, int64_t groups,
                                double scale) {
  for (int64_t g = 0; g < groups; ++g) {
    alignas(64) uint32_t words[64];
    draw64(key, stream, first_block + 16 * static_cast<uint64_t>(g), words);
    add_words(sums + 64 * g, words, scale);
  }
}

/// Sixty-four elements a group, each from four normals of the key stream (noise.h); a group has sixteen blocks of it.
template <class Width>
FEDLORA_INLINE void add_noise(double* __restrict sums, const ChaChaKey& key, uint32_t first_block, int64_t groups, double deviation) {
  for (int64_t g = 0; g < groups; ++g) {
    alignas(64) uint32_t words[256];
    chacha20_blocks16<Width>(key, first_block + 16 * static_cast<uint32_t>(g), words);
    for (int part = 0; part < 4; ++part) add_words(sums + 64 * g, words + 64 * part, 0.5 * deviation);
  }
}

}  // namespace fedlora::normals_body
