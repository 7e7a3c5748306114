/// What a CUtensorMap says, as the emulated encoder writes it into its 128 bytes.
#pragma once
#include <cstdint>

#include "include/cuda.h"

namespace emulator {

constexpr int most_dimensions = 5;

struct TensorMap {
  uint64_t magic;
  char* base;
  int32_t dimensions, element, swizzle;  // element: bytes; swizzle: 0, or the span in bytes, 32, 64 or 128
  int32_t size[most_dimensions];         // elements, fastest first
  int16_t box[most_dimensions];
  int64_t pitch[most_dimensions - 1];  // bytes from one row, plane … to the next
};
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));

/// The map's content; faults when it was not written by the encoder.
TensorMap read_map(const CUtensorMap* map);

CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* base, const cuuint64_t* size,
                      const cuuint64_t* pitch, const cuuint32_t* box, const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                      CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);

/// The byte of shared memory where byte `offset` of a swizzled tile lies: in spans of 8 rows the 16-byte chunks of a row are permuted.
constexpr uint32_t swizzled_offset(uint32_t offset, int swizzle) {
  const uint32_t mask = swizzle == 128 ? 0x70 : swizzle == 64 ? 0x30 : swizzle == 32 ? 0x10 : 0;
  return offset ^ (offset >> 3 & mask);
}

}  // namespace emulator
