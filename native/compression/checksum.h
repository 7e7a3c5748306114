/// CRC32C (Castagnoli, polynomial 0x1EDC6F41 reflected) and the two-level checksum of a message body.
/// The body is cut into segments of 4096 bytes; its checksum is the CRC32C of the segments' CRC32Cs, each as four little-endian
/// bytes. Segments are independent, so several are computed at once (the instruction has latency 3 and throughput 1) and threads
/// share the work. One changed segment changes one 32-bit word of the second level, which a CRC32C always notices.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"

namespace fedlora {

inline constexpr size_t checksum_segment_bytes = 4096;

/// CRC32C of `bytes`; of nothing it is 0.
uint32_t crc32c(std::span<const uint8_t> bytes);

/// CRC32C of each segment of `bytes`; `checksums` has room for checksum_segments(bytes.size()).
void segment_checksums(std::span<const uint8_t> bytes, uint32_t* checksums);

inline size_t checksum_segments(size_t bytes) { return (bytes + checksum_segment_bytes - 1) / checksum_segment_bytes; }

/// The second level: CRC32C over the list of segment checksums.
uint32_t combine_checksums(std::span<const uint32_t> checksums);

/// Both levels at once.
uint32_t body_checksum(std::span<const uint8_t> bytes, ThreadPool* pool = nullptr);

}  // namespace fedlora
