// CRC32C over `update8(crc, word)` and `update1(crc, byte)` of the including file, within its namespace and target region.

inline uint64_t load8(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

inline uint32_t crc_of(const uint8_t* bytes, size_t count) {
  uint32_t crc = ~0u;
  size_t i = 0;
  for (; i + 8 <= count; i += 8) crc = update8(crc, load8(bytes + i));
  for (; i < count; ++i) crc = update1(crc, bytes[i]);
  return ~crc;
}

/// Four whole segments at once, one instruction after the other for each: latency 2 or 3, throughput 1.
inline void four_segments(const uint8_t* p, uint32_t* checksums) {
  constexpr size_t segment = checksum_segment_bytes;
  uint32_t a = ~0u, b = ~0u, c = ~0u, d = ~0u;
  for (size_t i = 0; i < segment; i += 8) {
    a = update8(a, load8(p + i)), b = update8(b, load8(p + segment + i));
    c = update8(c, load8(p + 2 * segment + i)), d = update8(d, load8(p + 3 * segment + i));
  }
  checksums[0] = ~a, checksums[1] = ~b, checksums[2] = ~c, checksums[3] = ~d;
}
