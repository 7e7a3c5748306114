/// The value tables of bitsandbytes, and how an encoder picks an entry.
///
///   nf4          16 quantiles of N(0, 1), ascending                  Dettmers et al. 2023, arXiv:2305.14314 appendix E
///   fp4          sign, 2 exponent bits, 1 mantissa bit, over 12      bitsandbytes functional.py, get_4bit_type
///   dynamic map  256 values of a tree-shaped 8-bit type, ascending   Dettmers 2015, arXiv:1511.04561; create_dynamic_map
///
/// 4-bit rule: with the values in ascending order v_0 ≤ … ≤ v_15 and bounds (v_j + v_{j+1}) / 2 in float32, x gets the code of
/// v_c, c = number of bounds strictly below x. A tie therefore goes to the smaller value. All tables are computed at compile time.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "quant/format.h"

namespace fedlora {

using Codebook4 = std::array<float, 16>;

inline constexpr Codebook4 nf4_codebook = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

constexpr Codebook4 make_fp4_codebook() {
  constexpr float magnitude[8] = {0.0f, 0.0625f, 8.0f, 12.0f, 4.0f, 6.0f, 2.0f, 3.0f};
  Codebook4 codebook{};
  for (size_t code = 0; code < 8; ++code) {
    codebook[code] = magnitude[code] / 12.0f;
    codebook[code + 8] = code == 0 ? 0.0f : -magnitude[code] / 12.0f;
  }
  return codebook;
}
inline constexpr Codebook4 fp4_codebook = make_fp4_codebook();

constexpr const Codebook4& codebook_of(Format format) { return format == Format::fp4 ? fp4_codebook : nf4_codebook; }

/// The encoder's side of a 4-bit codebook.
struct Ladder4 {
  std::array<float, 15> bound{};   // ascending
  std::array<uint8_t, 16> code{};  // code of the c-th smallest value
};

constexpr Ladder4 make_ladder(const Codebook4& codebook) {
  Ladder4 ladder;
  for (uint8_t code = 0; code < 16; ++code) {  // stable insertion sort: of two equal values the smaller code comes first
    size_t place = code;
    for (; place > 0 && codebook[ladder.code[place - 1]] > codebook[code]; --place) ladder.code[place] = ladder.code[place - 1];
    ladder.code[place] = code;
  }
  for (size_t j = 0; j < 15; ++j) ladder.bound[j] = (codebook[ladder.code[j]] + codebook[ladder.code[j + 1]]) / 2.0f;
  return ladder;
}
inline constexpr Ladder4 nf4_ladder = make_ladder(nf4_codebook);
inline constexpr Ladder4 fp4_ladder = make_ladder(fp4_codebook);

constexpr const Ladder4& ladder_of(Format format) { return format == Format::fp4 ? fp4_ladder : nf4_ladder; }

/// For each decade 10^-6 … 10^0 the midpoints of 2^i equal steps of [0.1, 1], with both signs; then 0 and 1.
/// The steps are torch.linspace's: start + step·j up to half way, end − step·(n − 1 − j) beyond, each rounded once from the exact
/// value. (A float product of 24 × 7 bits plus a float is exact in double, so one conversion rounds it.)
constexpr std::array<float, 256> make_dynamic_map() {
  constexpr float decade[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  constexpr float start = 0.1f, end = 1.0f;
  std::array<float, 256> map{};
  size_t filled = 0;
  for (int i = 0; i < 7; ++i) {
    const int points = (1 << i) + 1;
    const float step = (end - start) / static_cast<float>(points - 1);
    float boundary[65] = {};
    for (int j = 0; j < points; ++j)
      boundary[j] = j < points / 2 ? static_cast<float>(static_cast<double>(start) + static_cast<double>(step) * j)
                                   : static_cast<float>(static_cast<double>(end) - static_cast<double>(step) * (points - 1 - j));
    for (int j = 0; j + 1 < points; ++j) {
      const float value = decade[i] * ((boundary[j] + boundary[j + 1]) / 2.0f);
      map[filled++] = value;
      map[filled++] = -value;
    }
  }
  map[filled++] = 0.0f;
  map[filled++] = 1.0f;
  std::sort(map.begin(), map.end());
  return map;
}
inline constexpr std::array<float, 256> dynamic_map = make_dynamic_map();

}  // namespace fedlora
