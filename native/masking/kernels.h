/// The inner loops of masking, one table an instruction set; all give the same bits. Kernels allocate, throw and check nothing, and nothing
/// that they branch on or index by is secret.
#pragma once
#include <cstdint>

#include "base/cpu_features.h"
#include "masking/quantize.h"

namespace fedlora {

/// "expand 32-byte k", the first row of a block.
inline constexpr uint32_t chacha20_constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

struct MaskingKernels {
  Isa isa;
  /// Blocks of 64 bytes that add_stream handles at a time.
  int group;
  /// Adds (or subtracts) blocks counter … of the stream of `key`, eight little-endian words, to `groups` groups of blocks at `bytes`.
  void (*add_stream16)(const uint32_t* key, uint32_t counter, bool negative, int64_t groups, uint8_t* bytes);
  void (*add_stream32)(const uint32_t* key, uint32_t counter, bool negative, int64_t groups, uint8_t* bytes);
  /// q of `count` values, the first with index `first`, a multiple of 64 (quantize.h).
  void (*quantize)(const float* values, int64_t count, const Grid& grid, const Draws& draws, uint64_t first, uint32_t* q);
};

const MaskingKernels& masking_kernels(Isa isa);

/// The table of select_isa(), chosen at the first call.
const MaskingKernels& masking_kernels();

extern const MaskingKernels masking_kernels_avx2, masking_kernels_avx512;

}  // namespace fedlora
