// CRC32C by the SSE4.2 instruction (part of the x86-64 floor), by table elsewhere; whole segments by carry-less products where the
// processor has them in vector form. All give the same numbers.
//
// Folding: with bit i of a word standing for x^(63-i), a carry-less product of two words is their product times x. A lane of 128 bits,
// low word L before high word H, moved D bits forward is L·x^(64+D) + H·x^D, congruent modulo P to two products with 32-bit constants.
// So a stretch of the message may be replaced by its folded sum into the bytes D bits further on, and only the last 64 bytes of a
// segment remain for the plain CRC. Source: Gopal et al. 2009, "Fast CRC computation using PCLMULQDQ".
#include "compression/checksum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/cpu_features.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

inline uint64_t load8(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}
}  // namespace

uint32_t crc32c(std::span<const uint8_t> bytes) {
  uint32_t crc = ~0u;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) crc = update8(crc, load8(bytes.data() + i));
  for (; i < bytes.size(); ++i) crc = update1(crc, bytes[i]);
  return ~crc;
}

namespace {
constexpr size_t segment = checksum_segment_bytes;

/// Four whole segments at once, one instruction after the other for each: latency 3, throughput 1.
void four_segments(const uint8_t* p, uint32_t* checksums) {
  uint32_t a = ~0u, b = ~0u, c = ~0u, d = ~0u;
  for (size_t i = 0; i < segment; i += 8) {
    a = update8(a, load8(p + i)), b = update8(b, load8(p + segment + i));
    c = update8(c, load8(p + 2 * segment + i)), d = update8(d, load8(p + 3 * segment + i));
  }
  checksums[0] = ~a, checksums[1] = ~b, checksums[2] = ~c, checksums[3] = ~d;
}

#if defined(__x86_64__)
/// x^n mod P as the high half of a reflected word.
constexpr uint64_t power(int n) {
  uint32_t value = 0x80000000u;
  for (int i = 0; i < n; ++i) value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0u);
  return static_cast<uint64_t>(value) << 32;
}

struct Fold {
  uint64_t low, high;
};
constexpr Fold fold_by(int bits) { return {power(bits + 63), power(bits - 1)}; }
constexpr Fold by_256_bytes = fold_by(2048), by_64_bytes = fold_by(512);

#define FEDLORA_CLMUL __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,vpclmulqdq,pclmul,sse4.2")))

FEDLORA_CLMUL inline __m512i folded(__m512i lanes, __m512i constants, __m512i next) {
  const __m512i low = _mm512_clmulepi64_epi128(lanes, constants, 0x00), high = _mm512_clmulepi64_epi128(lanes, constants, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // xor of three
}

FEDLORA_CLMUL void four_segments_clmul(const uint8_t* p, uint32_t* checksums) {
  constexpr auto word = [](uint64_t bits) { return static_cast<int64_t>(bits); };
  const __m512i far = _mm512_set4_epi64(word(by_256_bytes.high), word(by_256_bytes.low), word(by_256_bytes.high), word(by_256_bytes.low));
  const __m512i near = _mm512_set4_epi64(word(by_64_bytes.high), word(by_64_bytes.low), word(by_64_bytes.high), word(by_64_bytes.low));
  for (int s = 0; s < 4; ++s, p += segment) {
    // The initial value ~0 of a CRC is the same as inverting the first 32 bits.
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128(-1)));
    __m512i b = _mm512_loadu_si512(p + 64), c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    for (size_t i = 256; i < segment; i += 256) {
      a = folded(a, far, _mm512_loadu_si512(p + i)), b = folded(b, far, _mm512_loadu_si512(p + i + 64));
      c = folded(c, far, _mm512_loadu_si512(p + i + 128)), d = folded(d, far, _mm512_loadu_si512(p + i + 192));
    }
    alignas(64) uint64_t rest[8];
    _mm512_store_si512(rest, folded(folded(folded(a, near, b), near, c), near, d));
    uint32_t crc = 0;
    for (uint64_t part : rest) crc = update8(crc, part);
    checksums[s] = ~crc;
  }
}

bool has_vector_clmul() {
  return select_isa() == Isa::avx512bf16 && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul");
}
#endif

auto choose_four_segments() {
#if defined(__x86_64__)
  if (has_vector_clmul()) return four_segments_clmul;
#endif
  return four_segments;
}
}  // namespace

void segment_checksums(std::span<const uint8_t> bytes, uint32_t* checksums) {
  static const auto four = choose_four_segments();
  size_t done = 0;
  for (; bytes.size() - done >= 4 * segment; done += 4 * segment, checksums += 4) four(bytes.data() + done, checksums);
  for (; done < bytes.size(); done += segment) *checksums++ = crc32c(bytes.subspan(done, std::min(segment, bytes.size() - done)));
}

uint32_t combine_checksums(std::span<const uint32_t> checksums) {
  return crc32c({reinterpret_cast<const uint8_t*>(checksums.data()), checksums.size() * 4});
}

uint32_t body_checksum(std::span<const uint8_t> bytes) {
  std::vector<uint32_t> checksums(checksum_segments(bytes.size()));
  segment_checksums(bytes, checksums.data());
  return combine_checksums(checksums);
}

}  // namespace fedlora
