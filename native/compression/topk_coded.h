/// The body of a topk message of version 2: positions and levels by arithmetic coding (gap_code.h), signs as they are.
/// wire.h has the layout.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "compression/wire.h"

namespace fedlora {

/// What topk sends, in order of position: the gap before each entry, and its code (level in the low bits, sign in the top one of `bits`).
struct TopkEntries {
  std::vector<uint32_t> gaps;
  std::vector<uint8_t> codes;
};

/// Entries are coded up to this density; beyond it, decoding them one by one would take longer than the values are worth.
constexpr bool may_code_entries(int64_t count, int64_t sent) { return sent > 0 && sent <= count / 8; }

/// The body without the levels.
std::vector<uint8_t> code_entries(const TopkEntries& entries, int bits, int64_t count);

/// Reads it: positions, rising, and codes. Throws E_FORMAT.
void read_coded_entries(const UpdateHeader& header, std::span<const uint8_t> body, std::vector<uint32_t>& positions,
                        std::vector<uint8_t>& codes);

}  // namespace fedlora
