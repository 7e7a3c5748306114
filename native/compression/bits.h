/// Fields of 0 to 31 bits in a little-endian bit string: bit i of the string is bit i mod 8 of byte i / 8.
#pragma once
#include <cstdint>
#include <cstring>

namespace fedlora {

class BitWriter {
 public:
  /// Writes from `bytes` on; the caller has room for every field and one last byte.
  explicit BitWriter(uint8_t* bytes) : bytes_(bytes) {}

  void put(uint32_t value, int bits) {
    pending_ |= static_cast<uint64_t>(value) << held_;
    held_ += bits;
    while (held_ >= 8) {
      *bytes_++ = static_cast<uint8_t>(pending_);
      pending_ >>= 8, held_ -= 8;
    }
  }
  /// Fills the last byte with zeros.
  void finish() {
    if (held_ > 0) *bytes_++ = static_cast<uint8_t>(pending_);
    pending_ = 0, held_ = 0;
  }

 private:
  uint8_t* bytes_;
  uint64_t pending_ = 0;
  int held_ = 0;
};

/// Up to 57 bits from bit `at` on, in the low bits of the result; what lies beyond `size` bytes reads as 0.
inline uint64_t bits_at(const uint8_t* bytes, int64_t size, int64_t at) {
  const int64_t byte = at / 8;
  uint64_t word = 0;
  if (byte + 8 <= size)
    std::memcpy(&word, bytes + byte, 8);
  else if (byte < size)
    std::memcpy(&word, bytes + byte, static_cast<size_t>(size - byte));
  return word >> (at % 8);
}

}  // namespace fedlora
