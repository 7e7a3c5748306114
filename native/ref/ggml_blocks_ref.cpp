#include "ref/ggml_blocks_ref.h"

#include "base/error.h"
#include "base/half.h"

namespace fedlora::ref {

namespace {

float half(const uint8_t* bytes) { return to_f32(f16{static_cast<uint16_t>(bytes[0] | bytes[1] << 8)}); }

/// `width` bits from bit `first` on, the least significant bit of each byte first.
int bits(const uint8_t* bytes, int first, int width) {
  int value = 0;
  for (int b = 0; b < width; ++b) value |= (bytes[(first + b) / 8] >> (first + b) % 8 & 1) << b;
  return value;
}

/// 32 nibbles: the low ones of all bytes come first.
int nibble(const uint8_t* bytes, int i) { return bits(bytes, 8 * (i % 16) + 4 * (i / 16), 4); }

/// The place of number i of 256 among pairs of bits: 128 numbers share 32 bytes, a bit pair of all bytes after the other.
int pair(const uint8_t* bytes, int i) { return bits(bytes, 8 * (32 * (i / 128) + i % 32) + 2 * (i % 128 / 32), 2); }

/// The same for nibbles: 64 numbers share 32 bytes.
int wide_nibble(const uint8_t* bytes, int i) { return bits(bytes, 8 * (32 * (i / 64) + i % 32) + 4 * (i % 64 / 32), 4); }

/// Scale (which = 0) or least (1) of run r in the 12 bytes of Q4_K and Q5_K.
int six_bits(const uint8_t* bytes, int r, int which) {
  if (r < 4) return bits(bytes, 8 * (r + 4 * which), 6);
  return bits(bytes, 8 * (r + 4) + 4 * which, 4) + 16 * bits(bytes, 8 * (r - 4 + 4 * which) + 6, 2);
}

float minus_least(float d, int s, int q, float dmin, int t) {
  const float scale = d * static_cast<float>(s), least = dmin * static_cast<float>(t), product = scale * static_cast<float>(q);
  return product - least;
}

}  // namespace

float block_element(DType dtype, const uint8_t* x, int i) {
  switch (dtype) {
    case DType::q4_0:
      return static_cast<float>(nibble(x + 2, i) - 8) * half(x);
    case DType::q4_1:
      return static_cast<float>(nibble(x + 4, i)) * half(x) + half(x + 2);
    case DType::q5_0:
      return static_cast<float>(nibble(x + 6, i) + 16 * bits(x + 2, i, 1) - 16) * half(x);
    case DType::q5_1:
      return static_cast<float>(nibble(x + 8, i) + 16 * bits(x + 4, i, 1)) * half(x) + half(x + 2);
    case DType::q8_0:
      return static_cast<float>(static_cast<int8_t>(x[2 + i])) * half(x);
    case DType::q2_k:
      return minus_least(half(x + 80), bits(x, 8 * (i / 16), 4), pair(x + 16, i), half(x + 82), bits(x, 8 * (i / 16) + 4, 4));
    case DType::q3_k: {
      const int r = i / 16, s = bits(x + 96, 8 * (r % 8) + 4 * (r / 8), 4) + 16 * bits(x + 96, 8 * (8 + r % 4) + 2 * (r / 4), 2) - 32;
      const int q = pair(x + 32, i) + 4 * bits(x, 8 * (i % 32) + i / 32, 1) - 4;
      return half(x + 108) * static_cast<float>(s) * static_cast<float>(q);
    }
    case DType::q4_k:
      return minus_least(half(x), six_bits(x + 4, i / 32, 0), wide_nibble(x + 16, i), half(x + 2), six_bits(x + 4, i / 32, 1));
    case DType::q5_k:
      return minus_least(half(x), six_bits(x + 4, i / 32, 0), wide_nibble(x + 48, i) + 16 * bits(x + 16, 8 * (i % 32) + i / 32, 1),
                         half(x + 2), six_bits(x + 4, i / 32, 1));
    case DType::q6_k: {
      const int low = bits(x + 64 * (i / 128), 8 * (i % 64) + 4 * (i % 128 / 64), 4), q = low + 16 * pair(x + 128, i) - 32;
      return half(x + 208) * static_cast<float>(static_cast<int8_t>(x[192 + i / 16])) * static_cast<float>(q);
    }
    default:
      fail(Code::E_INTERNAL, "%s has no blocks.", dtype_name(dtype));
  }
}

}  // namespace fedlora::ref
