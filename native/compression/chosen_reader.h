/// Reading of randk and blocks: which elements a message has, from its seed, and their values.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "compression/kernels.h"
#include "compression/wire.h"

namespace fedlora {

/// The values of a dense codec, from any element on.
class DenseValues {
 public:
  DenseValues() = default;
  /// `count` values of `bits` bits: the body of a dense codec.
  DenseValues(const uint8_t* body, int bits, int64_t count) : body_(body), bits_(bits), count_(count) {}
  void decode(int64_t first, int64_t count, float* values, const CodecKernels& kernels) const;
  /// Bits of mantissa that a value can have: 23 or less.
  int mantissa_bits() const { return bits_ == 32 ? 23 : bits_ == 16 ? 7 : 15; }
  /// Throws E_FORMAT: a scale that is negative or not a number, spare bits.
  void check() const;

 private:
  const uint8_t* body_ = nullptr;
  int bits_ = 32;
  int64_t count_ = 0;
};

/// The values of a message and the positions of its elements, rising. Throws E_FORMAT when segments, runs and lengths do not fit.
DenseValues read_chosen(const UpdateHeader& header, const uint8_t* body, std::vector<uint32_t>& positions);

}  // namespace fedlora
