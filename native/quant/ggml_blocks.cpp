#include "quant/ggml_blocks.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/half.h"

namespace fedlora {

namespace {

constexpr int largest_block = 256;

inline float half_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return to_f32(f16{bits});
}
inline uint32_t word_at(const uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

void decode_q4_0(const uint8_t* block, float* out) {
  const float d = half_at(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 16; ++i) out[i] = static_cast<float>((q[i] & 15) - 8) * d;
  for (int i = 0; i < 16; ++i) out[16 + i] = static_cast<float>((q[i] >> 4) - 8) * d;
}

void decode_q4_1(const uint8_t* block, float* out) {
  const float d = half_at(block), m = half_at(block + 2);
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; ++i) out[i] = static_cast<float>(q[i] & 15) * d + m;
  for (int i = 0; i < 16; ++i) out[16 + i] = static_cast<float>(q[i] >> 4) * d + m;
}

/// q [32] of Q5_0 and Q5_1, as 0 … 31.
inline void five_bits(const uint8_t* low, uint32_t high, int* q) {
  for (int i = 0; i < 16; ++i) q[i] = (low[i] & 15) | static_cast<int>((high >> i & 1) << 4);
  for (int i = 0; i < 16; ++i) q[16 + i] = low[i] >> 4 | static_cast<int>((high >> (16 + i) & 1) << 4);
}

void decode_q5_0(const uint8_t* block, float* out) {
  const float d = half_at(block);
  int q[32];
  five_bits(block + 6, word_at(block + 2), q);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(q[i] - 16) * d;
}

void decode_q5_1(const uint8_t* block, float* out) {
  const float d = half_at(block), m = half_at(block + 2);
  int q[32];
  five_bits(block + 8, word_at(block + 4), q);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(q[i]) * d + m;
}

void decode_q8_0(const uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

/// Run r of 16 numbers lies in half r / 8 of the block, 32 bytes of q each, at the pair of bits (r / 2) % 4, bytes 16·(r % 2) … of it.
void decode_q2_k(const uint8_t* block, float* out) {
  const uint8_t *scales = block, *q = block + 16;
  const float d = half_at(block + 80), dmin = half_at(block + 82);
  for (int run = 0; run < 16; ++run) {
    const float scale = d * static_cast<float>(scales[run] & 15), least = dmin * static_cast<float>(scales[run] >> 4);
    const uint8_t* bytes = q + 32 * (run / 8) + 16 * (run % 2);
    const int shift = 2 * (run / 2 % 4);
    for (int i = 0; i < 16; ++i) out[16 * run + i] = scale * static_cast<float>(bytes[i] >> shift & 3) - least;
  }
}

/// s_r: its low nibble in byte r % 8, its high two bits in byte 8 + r % 4.
void decode_q3_k(const uint8_t* block, float* out) {
  const uint8_t *high = block, *low = block + 32, *scales = block + 96;
  const float d = half_at(block + 108);
  for (int run = 0; run < 16; ++run) {
    const int nibble = run < 8 ? scales[run] & 15 : scales[run - 8] >> 4, pair = scales[8 + run % 4] >> 2 * (run / 4) & 3;
    const float scale = d * static_cast<float>((nibble | pair << 4) - 32);
    const uint8_t *bits = high + 16 * (run % 2), *bytes = low + 32 * (run / 8) + 16 * (run % 2);
    const int shift = 2 * (run / 2 % 4), bit = run / 2;
    for (int i = 0; i < 16; ++i) out[16 * run + i] = scale * static_cast<float>((bytes[i] >> shift & 3) + 4 * (bits[i] >> bit & 1) - 4);
  }
}

/// s and t of run r out of 12 bytes: 6 bits each, those of the last four runs torn apart.
inline void scale_and_least(const uint8_t* bytes, int run, int& s, int& t) {
  if (run < 4) {
    s = bytes[run] & 63;
    t = bytes[run + 4] & 63;
  } else {
    s = (bytes[run + 4] & 15) | bytes[run - 4] >> 6 << 4;
    t = bytes[run + 4] >> 4 | bytes[run] >> 6 << 4;
  }
}

/// Runs of 32: two share 32 bytes of `low`, the even one in the low nibbles; run r's fifth bits are the bits r of `high`.
template <bool five_bit>
inline void decode_runs(const uint8_t* block, const uint8_t* low, const uint8_t* high, float* out) {
  const float d = half_at(block), dmin = half_at(block + 2);
  for (int run = 0; run < 8; ++run) {
    int s, t;
    scale_and_least(block + 4, run, s, t);
    const float scale = d * static_cast<float>(s), least = dmin * static_cast<float>(t);
    const uint8_t* q = low + 32 * (run / 2);
    const int shift = 4 * (run % 2);
    for (int i = 0; i < 32; ++i) {
      const int fifth = five_bit ? 16 * (high[i] >> run & 1) : 0;
      out[32 * run + i] = scale * static_cast<float>((q[i] >> shift & 15) + fifth) - least;
    }
  }
}

void decode_q4_k(const uint8_t* block, float* out) { decode_runs<false>(block, block + 16, nullptr, out); }

void decode_q5_k(const uint8_t* block, float* out) { decode_runs<true>(block, block + 48, block + 16, out); }

/// Half h of the block has 64 bytes of nibbles and 32 of pairs. Its quarter c: bytes 32·(c % 2) …, low nibbles first; the pair of bits c.
void decode_q6_k(const uint8_t* block, float* out) {
  const float d = half_at(block + 208);
  const uint8_t* scales = block + 192;
  for (int run = 0; run < 16; ++run) {
    const float scale = d * static_cast<float>(static_cast<int8_t>(scales[run]));
    const int half = run / 8, quarter = run / 2 % 4, from = 16 * (run % 2);
    const uint8_t *low = block + 64 * half + 32 * (quarter % 2) + from, *high = block + 128 + 32 * half + from;
    const int shift = 4 * (quarter / 2), pair = 2 * quarter;
    for (int i = 0; i < 16; ++i) out[16 * run + i] = scale * static_cast<float>((low[i] >> shift & 15) + 16 * (high[i] >> pair & 3) - 32);
  }
}

using Decode = void (*)(const uint8_t*, float*);

Decode decoder_of(DType dtype) {
  constexpr Decode decoders[] = {decode_q4_0, decode_q4_1, decode_q5_0, decode_q5_1, decode_q8_0,
                                 decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k};
  if (!is_blocked(dtype)) fail(Code::E_INTERNAL, "%s has no blocks to decode.", dtype_name(dtype));
  return decoders[static_cast<int>(dtype) - static_cast<int>(DType::q4_0)];
}

}  // namespace

void decode_blocks(DType dtype, const uint8_t* data, int64_t blocks, float* out) {
  const Decode decode = decoder_of(dtype);
  const DTypeTraits traits = dtype_traits(dtype);
  for (int64_t b = 0; b < blocks; ++b) decode(data + b * traits.block_bytes, out + b * traits.block_elements);
}

void decode_blocked(DType dtype, const uint8_t* data, int64_t first, int64_t count, float* out) {
  const int64_t length = dtype_traits(dtype).block_elements, bytes = dtype_traits(dtype).block_bytes;
  while (count > 0) {
    const int64_t block = first / length, skip = first % length;
    int64_t taken = count / length * length;
    if (skip == 0 && taken > 0) {
      decode_blocks(dtype, data + block * bytes, taken / length, out);
    } else {
      float whole[largest_block];
      decode_blocks(dtype, data + block * bytes, 1, whole);
      taken = std::min(count, length - skip);
      std::copy_n(whole + skip, taken, out);
    }
    first += taken;
    out += taken;
    count -= taken;
  }
}

}  // namespace fedlora
