/// The loops behind the table of kernels.h, written once and inlined into a function per instruction set (kernels.cpp), where the
/// compiler vectorises them for that set.
///
/// Random numbers of the stochastic rounding: element i belongs to block i / 128 and draws 16 bits of word (i / 16) mod 4 of
/// Philox4x32-10 under key = seed, stream 0, at counter 16 · (i / 128) + i mod 16: the low half in the block's first 64 elements, the
/// high half in the others. So 16 counters side by side serve a block without a shuffle.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/half.h"
#include "base/inline.h"
#include "base/philox64.h"
#include "compression/kernels.h"
#include "compression/wire.h"

namespace fedlora::codec_body {

constexpr uint32_t magnitude_mask = 0x7fffffffu;
constexpr uint32_t largest_finite_bf16 = 0x7f7fu;

FEDLORA_INLINE uint32_t magnitude_bits(float x) { return std::bit_cast<uint32_t>(x) & magnitude_mask; }

/// Elements between what is read and what is fetched meanwhile: a chunk of the encoders, whose work goes on while it comes.
constexpr int64_t fetch_distance = 2048;

// A pointer that may be null is a template's parameter in the loops: asked for in them, clang makes masked accesses of the question, which
// some processors take forty times as long for when the mask is empty and the address is null.

template <bool with_residual>
FEDLORA_INLINE uint32_t targets_of(const float* __restrict update, const float* __restrict residual, float* __restrict target,
                                   int64_t count) {
  constexpr int64_t line = 16;  // floats of a cache line
  uint32_t largest = 0;
  int64_t i = 0;
  for (; i + update_block <= count; i += update_block) {
    for (int64_t j = i + fetch_distance; j < i + fetch_distance + update_block; j += line) {
      __builtin_prefetch(update + j);
      if constexpr (with_residual) __builtin_prefetch(residual + j);
    }
    uint32_t top = 0;
    for (int64_t j = i; j < i + update_block; ++j) {
      target[j] = with_residual ? update[j] + residual[j] : update[j];
      const uint32_t bits = magnitude_bits(target[j]);
      top = bits > top ? bits : top;
    }
    largest = top > largest ? top : largest;
  }
  for (; i < count; ++i) {
    target[i] = with_residual ? update[i] + residual[i] : update[i];
    const uint32_t bits = magnitude_bits(target[i]);
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

FEDLORA_INLINE uint32_t add_residual(const float* update, const float* residual, float* target, int64_t count) {
  return residual == nullptr ? targets_of<false>(update, residual, target, count) : targets_of<true>(update, residual, target, count);
}

FEDLORA_INLINE void block_largest(const float* __restrict target, int64_t blocks, uint32_t* __restrict largest) {
  for (int64_t b = 0; b < blocks; ++b, target += update_block) {
    uint32_t top = 0;
    for (int64_t i = 0; i < update_block; ++i) {
      const uint32_t bits = magnitude_bits(target[i]);
      top = bits > top ? bits : top;
    }
    largest[b] = top;
  }
}

/// |x| = whole + fraction, both exact; it rounds up when (draw + 1/2) / 2^16 < fraction, so that the expected code is x to within
/// 2^-17.
template <Draw64 draw64 = philox64>
FEDLORA_INLINE void quantize(const float* __restrict target, const float* __restrict scales, int64_t blocks, int limit, uint64_t seed,
                             uint64_t first, int8_t* __restrict codes, float* __restrict residual) {
  for (int64_t b = 0; b < blocks; ++b) {
    // target / scale as a product, at most 2^-16 of a step off; a scale whose reciprocal would overflow is lifted first, exactly.
    const float scale = scales[b], lift = scale < 0x1p-100f ? 0x1p64f : 1.0f;
    const float factor = scale > 0 ? 1.0f / (scale * lift) : 0.0f;
    uint32_t words[64];
    draw64(seed, 0, (first / update_block + static_cast<uint64_t>(b)) * 16, words);
    for (int half = 0; half < 2; ++half) {
      const int64_t at = b * update_block + 64 * half;
      int32_t rounded[64];
      for (int j = 0; j < 64; ++j) {
        const float x = target[at + j] * lift * factor;
        const float magnitude = std::bit_cast<float>(magnitude_bits(x));
        const int32_t whole = static_cast<int32_t>(magnitude);
        const float fraction = (magnitude - static_cast<float>(whole)) * 0x1p17f;
        const int32_t draw = static_cast<int32_t>(half == 0 ? words[j] & 0xffffu : words[j] >> 16) * 2 + 1;
        int32_t code = whole + (static_cast<float>(draw) < fraction ? 1 : 0);
        code = code < limit ? code : limit;
        const int32_t sign = std::bit_cast<int32_t>(x) >> 31;
        rounded[j] = (code ^ sign) - sign;
      }
      for (int j = 0; j < 64; ++j) codes[at + j] = static_cast<int8_t>(rounded[j]);
      if (residual != nullptr)
        for (int j = 0; j < 64; ++j) residual[at + j] = target[at + j] - static_cast<float>(rounded[j]) * scale;
    }
  }
}

FEDLORA_INLINE void dequantize(const int8_t* __restrict codes, const float* __restrict scales, int64_t count, float* __restrict values) {
  int64_t done = 0;
  for (; done + update_block <= count; done += update_block) {
    const float scale = scales[done / update_block];
    for (int64_t i = 0; i < update_block; ++i) values[done + i] = static_cast<float>(codes[done + i]) * scale;
  }
  for (; done < count; ++done) values[done] = static_cast<float>(codes[done]) * scales[done / update_block];
}

FEDLORA_INLINE void pack_int4(const int8_t* __restrict codes, int64_t bytes, uint8_t* __restrict packed) {
  for (int64_t i = 0; i < bytes; ++i) packed[i] = static_cast<uint8_t>((codes[2 * i] & 15) | (static_cast<uint8_t>(codes[2 * i + 1]) << 4));
}

FEDLORA_INLINE void unpack_int4(const uint8_t* __restrict packed, int64_t bytes, int8_t* __restrict codes) {
  for (int64_t i = 0; i < bytes; ++i) {  // sign extension of 4 bits: (x ^ 8) − 8
    codes[2 * i] = static_cast<int8_t>(((packed[i] & 15) ^ 8) - 8);
    codes[2 * i + 1] = static_cast<int8_t>(((packed[i] >> 4) ^ 8) - 8);
  }
}

template <bool with_residual>
FEDLORA_INLINE void bf16_words(const float* __restrict target, int64_t count, uint16_t* __restrict words, float* __restrict residual) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(target[i]);
    uint32_t magnitude = ((bits & magnitude_mask) + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    magnitude = magnitude < largest_finite_bf16 ? magnitude : largest_finite_bf16;
    const uint32_t word = magnitude | ((bits >> 16) & 0x8000u);
    words[i] = static_cast<uint16_t>(word);
    if constexpr (with_residual) residual[i] = target[i] - std::bit_cast<float>(word << 16);
  }
}

FEDLORA_INLINE void encode_bf16(const float* target, int64_t count, uint16_t* words, float* residual) {
  return residual == nullptr ? bf16_words<false>(target, count, words, residual) : bf16_words<true>(target, count, words, residual);
}

FEDLORA_INLINE uint16_t word_at(const uint8_t* words, int64_t i) {
  uint16_t word;
  std::memcpy(&word, words + 2 * i, 2);
  return word;
}

FEDLORA_INLINE void decode_bf16(const uint8_t* __restrict words, int64_t count, float* __restrict values) {
  for (int64_t i = 0; i < count; ++i) values[i] = std::bit_cast<float>(static_cast<uint32_t>(word_at(words, i)) << 16);
}

FEDLORA_INLINE MagnitudeBits range_f32(const float* __restrict values, int64_t count) {
  uint32_t smallest = ~0u, largest = 0;  // one less than the pattern: zero wraps to all ones and never is the smallest
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = magnitude_bits(values[i]), less = bits - 1;
    smallest = less < smallest ? less : smallest;
    largest = bits > largest ? bits : largest;
  }
  return {smallest == ~0u ? ~0u : smallest + 1, largest};
}

FEDLORA_INLINE MagnitudeBits range_bf16(const uint8_t* __restrict words, int64_t count) {
  uint16_t smallest = 0xffff, largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = word_at(words, i) & 0x7fff, less = static_cast<uint16_t>(bits - 1);
    smallest = less < smallest ? less : smallest;
    largest = bits > largest ? bits : largest;
  }
  return {smallest == 0xffff ? ~0u : smallest + 1u, largest};
}

FEDLORA_INLINE void magnitude_bins(const float* __restrict target, int64_t count, uint16_t* __restrict bins) {
  for (int64_t i = 0; i < count; ++i) bins[i] = static_cast<uint16_t>(magnitude_bits(target[i]) >> 20);
}

FEDLORA_INLINE void magnitude_digits(const float* __restrict target, int64_t count, uint32_t prefix, int shift,
                                     uint16_t* __restrict digits) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = magnitude_bits(target[i]) >> shift;
    digits[i] = static_cast<uint16_t>(bits >> 10 == prefix ? bits & 1023u : 1024u);
  }
}

FEDLORA_INLINE void select_mask(const float* __restrict target, int64_t count, uint32_t threshold, uint64_t* __restrict masks) {
  for (int64_t at = 0; at < count; at += 64) {
    uint8_t chosen[64];
    for (int j = 0; j < 64; ++j) chosen[j] = magnitude_bits(target[at + j]) >= threshold ? 1 : 0;
    uint64_t mask = 0;
    for (int group = 0; group < 8; ++group) {  // eight bytes of 0 or 1 to eight bits, the first byte to the lowest bit
      uint64_t flags;
      std::memcpy(&flags, chosen + 8 * group, 8);
      mask |= ((flags * 0x0102040810204080ull) >> 56) << (8 * group);
    }
    masks[at / 64] = mask;
  }
}

FEDLORA_INLINE void sum_magnitudes(const float* __restrict target, int64_t blocks, double* __restrict sums) {
  constexpr int64_t lanes = 16;
  for (int64_t b = 0; b < blocks; ++b, target += sign_block) {
    double running[lanes] = {};
    for (int64_t i = 0; i < sign_block; i += lanes)
      for (int64_t j = 0; j < lanes; ++j) running[j] += static_cast<double>(std::bit_cast<float>(magnitude_bits(target[i + j])));
    double sum = 0;
    for (double part : running) sum += part;
    sums[b] = sum;
  }
}

FEDLORA_INLINE void encode_signs(const float* __restrict target, const float* __restrict scales, int64_t blocks, uint8_t* __restrict bits,
                                 float* __restrict residual) {
  for (int64_t i = 0; i < blocks * sign_block / 8; ++i) {
    unsigned byte = 0;
    for (int j = 0; j < 8; ++j) byte |= std::bit_cast<uint32_t>(target[8 * i + j]) >> 31 << j;
    bits[i] = static_cast<uint8_t>(byte);
  }
  if (residual == nullptr) return;
  for (int64_t b = 0; b < blocks; ++b, target += sign_block, residual += sign_block) {
    const uint32_t scale = std::bit_cast<uint32_t>(scales[b]);
    for (int64_t i = 0; i < sign_block; ++i)
      residual[i] = target[i] - std::bit_cast<float>(scale | (std::bit_cast<uint32_t>(target[i]) & ~magnitude_mask));
  }
}

FEDLORA_INLINE void decode_signs(const uint8_t* __restrict bits, const float* __restrict scales, int64_t blocks, float* __restrict values) {
  for (int64_t b = 0; b < blocks; ++b, bits += sign_block / 8, values += sign_block) {
    const uint32_t scale = std::bit_cast<uint32_t>(scales[b]);
    for (int64_t i = 0; i < sign_block / 8; ++i) {
      const uint32_t byte = bits[i];
      for (int j = 0; j < 8; ++j) values[8 * i + j] = std::bit_cast<float>(scale | (byte >> j & 1u) << 31);
    }
  }
}

FEDLORA_INLINE double dot(const float* __restrict a, const float* __restrict b, int64_t count) {
  constexpr int64_t lanes = 16;
  double running[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (int64_t j = 0; j < lanes; ++j) running[j] += static_cast<double>(a[i + j]) * static_cast<double>(b[i + j]);
  for (int64_t j = 0; i + j < count; ++j) running[j] += static_cast<double>(a[i + j]) * static_cast<double>(b[i + j]);
  double sum = 0;
  for (double part : running) sum += part;
  return sum;
}

FEDLORA_INLINE void add_scaled(double factor, const float* __restrict values, int64_t count, double* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += factor * static_cast<double>(values[i]);
}

FEDLORA_INLINE void low_rank_row(const float* __restrict p, const float* __restrict q, int64_t rank, int64_t stride, int64_t count,
                                 float* __restrict values) {
  for (int64_t j = 0; j < count; ++j) values[j] = p[0] * q[j];
  for (int64_t r = 1; r < rank; ++r) {
    const float* __restrict row = q + r * stride;
    for (int64_t j = 0; j < count; ++j) values[j] += p[r] * row[j];
  }
}

}  // namespace fedlora::codec_body
