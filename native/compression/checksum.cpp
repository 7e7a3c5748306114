// CRC32C by the SSE4.2 instruction (part of the x86-64 floor), by that of arm64 where there is one (checksum_arm64.cpp), by table
// elsewhere; whole segments by carry-less products where an x86 processor has them in vector form (checksum_avx512.cpp). All give the same
// numbers.
#include "compression/checksum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "compression/checksum_arm64.h"
#include "compression/checksum_avx512.h"

static_assert(std::endian::native == std::endian::little, "messages are little-endian and are read in place");

namespace fedlora {

namespace {
#if defined(__SSE4_2__)
inline uint32_t update8(uint32_t crc, uint64_t word) { return static_cast<uint32_t>(__builtin_ia32_crc32di(crc, word)); }
inline uint32_t update1(uint32_t crc, uint8_t byte) { return __builtin_ia32_crc32qi(crc, byte); }
#else
constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0u);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte)
    for (size_t t = 1; t < 8; ++t) tables[t][byte] = (tables[t - 1][byte] >> 8) ^ tables[0][tables[t - 1][byte] & 255];
  return tables;
}
constexpr auto tables = make_tables();
inline uint32_t update8(uint32_t crc, uint64_t word) {
  word ^= crc;
  uint32_t result = 0;
  for (size_t t = 0; t < 8; ++t) result ^= tables[7 - t][(word >> (8 * t)) & 255];
  return result;
}
inline uint32_t update1(uint32_t crc, uint8_t byte) { return (crc >> 8) ^ tables[0][(crc ^ byte) & 255]; }
#endif

#include "compression/checksum.inl"

auto choose_four_segments() {
  return has_vector_clmul() ? four_segments_clmul : has_crc32_of_arm64() ? four_segments_arm64 : four_segments;
}
}  // namespace

uint32_t crc32c(std::span<const uint8_t> bytes) {
  static const bool arm64 = has_crc32_of_arm64();
  return arm64 ? crc32c_arm64(bytes.data(), bytes.size()) : crc_of(bytes.data(), bytes.size());
}

constexpr size_t segment = checksum_segment_bytes;

void segment_checksums(std::span<const uint8_t> bytes, uint32_t* checksums) {
  static const auto four = choose_four_segments();
  size_t done = 0;
  for (; bytes.size() - done >= 4 * segment; done += 4 * segment, checksums += 4) four(bytes.data() + done, checksums);
  for (; done < bytes.size(); done += segment) *checksums++ = crc32c(bytes.subspan(done, std::min(segment, bytes.size() - done)));
}

uint32_t combine_checksums(std::span<const uint32_t> checksums) {
  return crc32c({reinterpret_cast<const uint8_t*>(checksums.data()), checksums.size() * 4});
}

uint32_t body_checksum(std::span<const uint8_t> bytes, ThreadPool* pool) {
  constexpr size_t task = 32 * segment;
  std::vector<uint32_t> checksums(checksum_segments(bytes.size()));
  run_tasks(pool, static_cast<int64_t>((bytes.size() + task - 1) / task), [&](int64_t index, int) {
    const size_t first = static_cast<size_t>(index) * task;
    segment_checksums(bytes.subspan(first, std::min(task, bytes.size() - first)), checksums.data() + first / segment);
  });
  return combine_checksums(checksums);
}

}  // namespace fedlora
