#include "compression/topk_coded.h"

#include <cstring>

#include "base/error.h"
#include "compression/bits.h"
#include "compression/gap_code.h"

namespace fedlora {

namespace {
/// A level of `bits` bits, the top one first, each behind those above it.
class LevelModel {
 public:
  explicit LevelModel(int bits) : bits_(bits) {}
  void put(RangeEncoder& coder, unsigned level) {
    for (unsigned bit = static_cast<unsigned>(bits_), node = 1; bit-- > 0;) {
      const bool one = level >> bit & 1;
      coder.put(one, nodes_[node]);
      node = 2 * node + one;
    }
  }
  unsigned get(RangeDecoder& coder) {
    unsigned node = 1;
    for (int bit = 0; bit < bits_; ++bit) node = 2 * node + coder.get(nodes_[node]);
    return node - (1u << bits_);
  }

 private:
  int bits_;
  AdaptiveBit nodes_[128];
};

constexpr int64_t length_bytes = 4;
}  // namespace

std::vector<uint8_t> code_entries(const TopkEntries& entries, int bits, int64_t count) {
  const size_t sent = entries.gaps.size();
  int64_t plain = static_cast<int64_t>(sent);
  for (uint32_t gap : entries.gaps) plain += GapModel::plain_bits(gap);
  const size_t coded_from = static_cast<size_t>(length_bytes + (plain + 7) / 8);
  std::vector<uint8_t> body;
  body.reserve(coded_from + sent * 9 / 8);
  body.resize(coded_from);
  BitWriter writer(body.data() + length_bytes);
  for (size_t i = 0; i < sent; ++i) {
    const int low = GapModel::plain_bits(entries.gaps[i]);
    const uint32_t sign = entries.codes[i] >> (bits - 1);
    writer.put(sign | ((entries.gaps[i] + 1) & ((1u << low) - 1)) << 1, low + 1);
  }
  writer.finish();
  GapModel gaps(count, static_cast<int64_t>(sent));
  LevelModel levels(bits - 1);
  RangeEncoder coder(body);
  for (size_t i = 0; i < sent; ++i) {
    gaps.put(coder, entries.gaps[i]);
    levels.put(coder, entries.codes[i] & ((1u << (bits - 1)) - 1));
  }
  coder.finish();
  const uint32_t plain_bytes = static_cast<uint32_t>(coded_from - length_bytes);
  std::memcpy(body.data(), &plain_bytes, sizeof plain_bytes);
  return body;
}

void read_coded_entries(const UpdateHeader& header, std::span<const uint8_t> body, std::vector<uint32_t>& positions,
                        std::vector<uint8_t>& codes) {
  uint32_t plain_bytes;
  std::memcpy(&plain_bytes, body.data(), sizeof plain_bytes);
  const uint8_t* plain = body.data() + length_bytes;
  const int64_t coded_bytes = static_cast<int64_t>(body.size()) - length_bytes - plain_bytes;
  if (coded_bytes < 0 || int64_t{plain_bytes} * 8 < header.sent)
    fail(Code::E_FORMAT, "encoded update: %u bytes of plain bits in a body of %zu", plain_bytes, body.size());
  positions.resize(static_cast<size_t>(header.sent));
  codes.resize(static_cast<size_t>(header.sent));
  GapModel gaps(header.count, header.sent);
  LevelModel levels(header.bits - 1);
  RangeDecoder coder(plain + plain_bytes, coded_bytes);
  int64_t at = 0;
  uint64_t next = 0;
  for (size_t i = 0; i < positions.size(); ++i) {
    const uint64_t word = bits_at(plain, plain_bytes, at);
    ++at;
    const uint64_t gap = gaps.get(coder, [&](int low) {
      at += low;
      return word >> 1 & ((1u << low) - 1);
    });
    const uint64_t position = next + gap;
    if (position >= static_cast<uint64_t>(header.count))
      fail(Code::E_FORMAT, "encoded update: position %llu in an update of %lld elements", static_cast<unsigned long long>(position),
           static_cast<long long>(header.count));
    positions[i] = static_cast<uint32_t>(position);
    codes[i] = static_cast<uint8_t>(levels.get(coder) | (word & 1) << (header.bits - 1));
    next = position + 1;
  }
  const int64_t spare = int64_t{plain_bytes} * 8 - at;
  if (spare < 0 || spare >= 8 || (spare > 0 && plain[plain_bytes - 1] >> (8 - spare) != 0) || !coder.at_end() ||
      (coded_bytes > 0 && body.back() == 0))
    fail(Code::E_FORMAT, "encoded update: the entries do not end where their bytes do");
}

}  // namespace fedlora
