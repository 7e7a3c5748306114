// Four chains keep the one unit that most processors have for it busy: a word of eight bytes a cycle. Carry-less products would bring more
// only beside it, and no message is read as fast.
#include "compression/checksum_arm64.h"

#include "compression/checksum.h"
#if defined(__aarch64__)
#include <arm_acle.h>

#include <cstring>

#include "base/cpu_arm64.h"
#include "base/cpu_features.h"
#include "base/target.h"
#endif

namespace fedlora {

#if defined(__aarch64__)
FEDLORA_TARGET_BEGIN(FEDLORA_CRC32)
namespace {
inline uint32_t update8(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }
inline uint32_t update1(uint32_t crc, uint8_t byte) { return __crc32cb(crc, byte); }
#include "compression/checksum.inl"
}  // namespace
uint32_t crc32c_arm64(const uint8_t* bytes, size_t count) { return crc_of(bytes, count); }
void four_segments_arm64(const uint8_t* bytes, uint32_t* checksums) { four_segments(bytes, checksums); }
FEDLORA_TARGET_END

bool has_crc32_of_arm64() { return select_isa() != Isa::scalar && has_crc32_instructions(); }
#else
bool has_crc32_of_arm64() { return false; }
uint32_t crc32c_arm64(const uint8_t*, size_t) { return 0; }
void four_segments_arm64(const uint8_t*, uint32_t*) {}
#endif

}  // namespace fedlora
