/// The matrix descriptor of wgmma, decoded bit by bit (PTX ISA, "Matrix Descriptor Format" and "Strides").
#pragma once
#include <cstdint>

#include "fault.h"
#include "tensor_map.h"

namespace emulator {

struct Descriptor {
  uint32_t start, leading, stride, base, mode;  // bytes; mode 0: no swizzle, 1: 128, 2: 64, 3: 32

  explicit Descriptor(uint64_t bits)
      : start(static_cast<uint32_t>(bits & 0x3fff) << 4),
        leading(static_cast<uint32_t>(bits >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(bits >> 32 & 0x3fff) << 4),
        base(static_cast<uint32_t>(bits >> 49 & 7)),
        mode(static_cast<uint32_t>(bits >> 62)) {}

  /// The shared byte of element (row of M or N, column of K) of an operand of 16-bit elements; `major_k`: K runs fastest.
  /// With the 128-byte swizzle a tile is made of 8 rows of 128 bytes, without it of 8 rows of 16.
  uint32_t at(int row, int k, bool major_k) const {
    const auto r = static_cast<uint32_t>(row), c = static_cast<uint32_t>(k);
    if (mode == 1)
      return swizzled_offset(
          major_k ? start + r / 8 * stride + r % 8 * 128 + c * 2 : start + r / 64 * leading + r % 64 * 2 + c / 8 * stride + c % 8 * 128,
          128);
    if (mode == 0)
      return major_k ? start + r / 8 * stride + r % 8 * 16 + c / 8 * leading + c % 8 * 2
                     : start + r / 8 * stride + r % 8 * 2 + c / 8 * leading + c % 8 * 16;
    fault("wgmma: swizzle mode %u is not emulated", mode);
  }
};

}  // namespace emulator
