/// CRC32C by the instructions of arm64 processors.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fedlora {

/// Whether the level in use is above scalar and the processor has the instructions; never where this is not arm64.
bool has_crc32_of_arm64();
uint32_t crc32c_arm64(const uint8_t* bytes, size_t count);
/// Checksums of four segments, one after the other in memory.
void four_segments_arm64(const uint8_t* bytes, uint32_t* checksums);

}  // namespace fedlora
