// Rice codes: a gap is a quotient in unary and a remainder of b bits (Rice 1979).
#include "compression/topk_rice.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "compression/bits.h"

namespace fedlora {

int best_rice_parameter(const std::vector<uint32_t>& gaps, int64_t elements) {
  const int64_t entries = static_cast<int64_t>(gaps.size());
  const int most = std::min(31, static_cast<int>(std::bit_width(static_cast<uint64_t>(elements / entries))) + 1);
  int best = 0;
  int64_t least = INT64_MAX;
  for (int b = 0; b <= most; ++b) {
    int64_t bits = entries * (b + 1);
    for (uint32_t gap : gaps) bits += gap >> b;
    if (bits < least) least = bits, best = b;
  }
  return best;
}

int64_t rice_body_bytes(const std::vector<uint32_t>& gaps, int bits, int parameter) {
  int64_t quotient_bits = static_cast<int64_t>(gaps.size());
  for (uint32_t gap : gaps) quotient_bits += gap >> parameter;
  return topk_layout(bits, parameter, static_cast<int64_t>(gaps.size())).quotients + (quotient_bits + 7) / 8;
}

void write_rice_entries(const TopkEntries& entries, int bits, int parameter, uint8_t* body) {
  const TopkLayout layout = topk_layout(bits, parameter, static_cast<int64_t>(entries.gaps.size()));
  BitWriter values(body + layout.values);
  for (uint8_t code : entries.codes) values.put(code, bits);
  values.finish();
  BitWriter remainders(body + layout.remainders);
  const uint32_t mask = (1u << parameter) - 1;
  uint8_t* quotients = body + layout.quotients;
  uint64_t at = 0;
  for (uint32_t gap : entries.gaps) {
    remainders.put(gap & mask, parameter);
    at += gap >> parameter;
    quotients[at / 8] = static_cast<uint8_t>(quotients[at / 8] | 1u << (at % 8));
    ++at;
  }
  remainders.finish();
}

// The j-th one bit of the quotients stands at index i = j + (sum of the first j + 1 quotients), so that
// position_j = ((i − j) << b) + (sum of the first j + 1 remainders) + j: no quotient is ever counted out bit by bit.
void read_rice_positions(const UpdateHeader& header, const uint8_t* body, std::vector<uint32_t>& positions) {
  const TopkLayout layout = topk_layout(header.bits, header.parameter, header.sent);
  const int b = header.parameter;
  const uint64_t mask = (uint64_t{1} << b) - 1;
  const auto spare = [](const uint8_t* end, int64_t bits) { return bits % 8 == 0 ? 0 : end[-1] >> (bits % 8); };
  if (spare(body + layout.remainders, header.sent * header.bits) || spare(body + layout.quotients, header.sent * b))
    fail(Code::E_FORMAT, "encoded update: spare bits are not 0");
  positions.resize(static_cast<size_t>(header.sent));
  const uint8_t* quotients = body + layout.quotients;
  const int64_t bytes = header.body_bytes - layout.quotients, remainder_bytes = layout.quotients - layout.remainders;
  int64_t entry = 0;
  uint64_t remainders = 0, position = 0;
  for (int64_t byte = 0; byte < bytes; byte += 8) {
    uint64_t word = 0;
    std::memcpy(&word, quotients + byte, static_cast<size_t>(std::min<int64_t>(8, bytes - byte)));
    if (std::popcount(word) > header.sent - entry) fail(Code::E_FORMAT, "encoded update: more positions than entries");
    for (; word != 0; word &= word - 1, ++entry) {
      const uint64_t at = static_cast<uint64_t>(byte * 8 + std::countr_zero(word)), j = static_cast<uint64_t>(entry);
      remainders += bits_at(body + layout.remainders, remainder_bytes, entry * b) & mask;
      position = ((at - j) << b) + remainders + j;
      positions[static_cast<size_t>(entry)] = static_cast<uint32_t>(position);
    }
  }
  if (entry != header.sent || quotients[bytes - 1] == 0) fail(Code::E_FORMAT, "encoded update: fewer positions than entries");
  if (position >= static_cast<uint64_t>(header.count))  // positions rise, the last one speaks for all
    fail(Code::E_FORMAT, "encoded update: position %llu in an update of %lld elements", static_cast<unsigned long long>(position),
         static_cast<long long>(header.count));
}

}  // namespace fedlora
