/// Binary arithmetic coding with adaptive probabilities: integers only, so that every machine reads and writes the same bytes.
///
/// A range coder over 64 bits (Martin 1979): the interval [low, low + range) shrinks to the part of each bit, 32 bits leave whenever the
/// range falls below 2^32, and a carry runs back into what has left. Probabilities are counted: n bits seen move the next one by
/// 1/(n + 3/2) of the distance, at least by 1/512, which costs 0.0007 bit a coded bit where nothing changes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace fedlora {

/// Probability of a one in 2^-16, and how many bits it has seen.
struct AdaptiveBit {
  static constexpr uint16_t most_seen = 510;
  uint16_t one = 1u << 15;
  uint16_t seen = 0;

  void update(bool bit) {
    // 2^16 / (seen + 1.5)
    const int32_t rate = rates()[seen];
    const int32_t target = bit ? 65535 - 32 : 32;  // stays within 2^-11 of 0 and 1
    one = static_cast<uint16_t>(one + int64_t{target - one} * rate / 65536);
    if (seen < most_seen) ++seen;
  }

 private:
  static const int32_t* rates() {
    static constexpr auto table = [] {
      struct {
        int32_t of[most_seen + 1];
      } t{};
      for (int32_t n = 0; n <= most_seen; ++n) t.of[n] = 131072 / (2 * n + 3);
      return t;
    }();
    return table.of;
  }
};

class RangeEncoder {
 public:
  /// Appends to `bytes`.
  explicit RangeEncoder(std::vector<uint8_t>& bytes) : bytes_(bytes), begin_(bytes.size()) {}

  void put(bool bit, AdaptiveBit& model) {
    const uint64_t ones = (range_ >> 16) * model.one;
    if (bit) {
      range_ = ones;
    } else {
      add(ones);
      range_ -= ones;
    }
    model.update(bit);
    if (range_ < uint64_t{1} << 32) shift();
  }

  /// Writes the end; zeros at the end are left out, for a reader finds zeros beyond it.
  void finish() {
    // Of the numbers of the interval one that ends in as many zeros as can be.
    for (int zeros = 63; zeros >= 0; --zeros) {
      const uint64_t mask = (uint64_t{1} << zeros) - 1, up = (low_ + mask) & ~mask;
      const bool carries = up < low_;
      if (carries ? range_ - 1 < 0 - low_ : up - low_ >= range_) continue;
      add(up - low_);
      break;
    }
    shift(), shift();
    while (bytes_.size() > begin_ && bytes_.back() == 0) bytes_.pop_back();
  }

 private:
  void add(uint64_t amount) {
    low_ += amount;
    if (low_ >= amount) return;
    for (size_t i = bytes_.size(); i > begin_ && ++bytes_[i - 1] == 0; --i) {
    }
  }
  void shift() {
    for (int bits = 56; bits >= 32; bits -= 8) bytes_.push_back(static_cast<uint8_t>(low_ >> bits));
    low_ <<= 32, range_ <<= 32;
  }

  std::vector<uint8_t>& bytes_;
  size_t begin_;
  uint64_t low_ = 0, range_ = ~uint64_t{0};
};

class RangeDecoder {
 public:
  RangeDecoder(const uint8_t* bytes, int64_t size) : bytes_(bytes), size_(size) { shift(), shift(); }

  bool get(AdaptiveBit& model) {
    const uint64_t ones = (range_ >> 16) * model.one;
    const bool bit = offset_ < ones;
    if (bit) {
      range_ = ones;
    } else {
      offset_ -= ones;
      range_ -= ones;
    }
    model.update(bit);
    if (range_ < uint64_t{1} << 32) shift(), range_ <<= 32;
    return bit;
  }

  /// Whether everything was read; the two words that are in hand at the end are hardly ever all needed.
  bool at_end() const { return read_ >= size_; }

 private:
  void shift() {
    for (int i = 0; i < 4; ++i, ++read_) offset_ = offset_ << 8 | (read_ < size_ ? bytes_[read_] : 0u);
  }

  const uint8_t* bytes_;
  int64_t size_, read_ = 0;
  uint64_t offset_ = 0, range_ = ~uint64_t{0};
};

}  // namespace fedlora
