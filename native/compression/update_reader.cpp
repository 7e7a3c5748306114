// Validation of a message, and decoding of its tiles.
#include "compression/update_reader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/half.h"
#include "compression/bits.h"
#include "compression/checksum.h"

namespace fedlora {

namespace {
/// Body bytes that one task checks: whole checksum segments and whole tiles of f32 and bf16, within the second-level cache.
constexpr int64_t stretch_bytes = 64 * 1024;
static_assert(stretch_bytes % checksum_segment_bytes == 0 && stretch_bytes % (4 * update_tile) == 0);

void for_each(ThreadPool* pool, int64_t tasks, const std::function<void(int64_t, int)>& task) {
  if (pool) return pool->run(tasks, task);
  for (int64_t i = 0; i < tasks; ++i) task(i, 0);
}

float bf16_value(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  return to_f32(bf16{bits});
}

/// Exponent of the last place of the smallest magnitude: every float of at least that magnitude is a multiple of 2^it.
TileRange float_range(MagnitudeBits bits, int mantissa_bits) {
  TileRange range;
  if (bits.largest == 0) return range;
  range.largest = std::bit_cast<float>(bits.largest << (23 - mantissa_bits));
  range.lowest_bit = std::max(static_cast<int>(bits.smallest >> mantissa_bits), 1) - 127 - mantissa_bits;
  return range;
}

void include(TileRange& range, float bf16_magnitude, float largest) {
  if (bf16_magnitude == 0) return;
  const MagnitudeBits bits{std::bit_cast<uint32_t>(bf16_magnitude) >> 16, 0x7f7f};
  range.lowest_bit = std::min(range.lowest_bit, float_range(bits, 7).lowest_bit);
  range.largest = std::max(range.largest, largest);
}
}  // namespace

UpdateReader::UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool) : UpdateReader(bytes, pool, codec_kernels()) {}

UpdateReader::UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool, const CodecKernels& kernels)
    : kernels_(&kernels), header_(read_header(bytes)), body_(bytes.data() + update_header_bytes) {
  try {
    check_body(bytes.subspan(update_header_bytes), pool);
    switch (header_.codec) {
      case Codec::f32:
      case Codec::bf16:
        check_finite();
        break;
      case Codec::int8:
      case Codec::int4:
        check_scales();
        break;
      case Codec::topk:
        check_levels();
        read_positions();
        break;
    }
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to read an encoded update of %zu bytes", bytes.size());
  }
}

void UpdateReader::check_body(std::span<const uint8_t> body, ThreadPool* pool) {
  const bool floats = header_.codec == Codec::f32 || header_.codec == Codec::bf16;
  const int64_t tile_bytes = update_tile * header_.bits / 8, size = static_cast<int64_t>(body.size());
  if (!sparse()) ranges_.resize(static_cast<size_t>((header_.count + update_tile - 1) / update_tile));
  std::vector<uint32_t> checksums(checksum_segments(body.size()));
  for_each(pool, (size + stretch_bytes - 1) / stretch_bytes, [&](int64_t task, int) {
    const int64_t begin = task * stretch_bytes, length = std::min(stretch_bytes, size - begin);
    segment_checksums(body.subspan(static_cast<size_t>(begin), static_cast<size_t>(length)),
                      checksums.data() + static_cast<size_t>(begin) / checksum_segment_bytes);
    if (!floats) return;
    for (int64_t at = begin; at < begin + length; at += tile_bytes) measure_tile(at / tile_bytes);  // while the bytes are in the cache
  });
  if (combine_checksums(checksums) != header_.body_checksum)
    fail(Code::E_CHECKSUM, "encoded update: the body's checksum differs; the message is damaged, have it sent again");
}

void UpdateReader::measure_tile(int64_t tile) {
  const int64_t first = tile * update_tile, count = std::min(update_tile, header_.count - first);
  alignas(64) float scratch[update_tile];
  if (header_.codec == Codec::f32) {
    ranges_[static_cast<size_t>(tile)] = float_range(kernels_->range_f32(values(first, count, scratch), count), 23);
    return;
  }
  alignas(64) uint16_t words[update_tile];
  std::memcpy(words, body_ + 2 * first, static_cast<size_t>(count) * 2);
  ranges_[static_cast<size_t>(tile)] = float_range(kernels_->range_bf16(words, count), 7);
}

void UpdateReader::check_finite() const {
  alignas(64) float scratch[update_tile];
  for (size_t tile = 0; tile < ranges_.size(); ++tile) {
    if (std::bit_cast<uint32_t>(ranges_[tile].largest) < 0x7f800000u) continue;
    const int64_t first = static_cast<int64_t>(tile) * update_tile, count = std::min(update_tile, header_.count - first);
    decode(first, count, scratch);
    for (int64_t i = 0; i < count; ++i)
      if ((std::bit_cast<uint32_t>(scratch[i]) & 0x7f800000u) == 0x7f800000u)
        fail(Code::E_NONFINITE, "encoded update: element %lld is %g; the sender must not encode such an update",
             static_cast<long long>(first + i), scratch[i]);
  }
}

float UpdateReader::scale(int64_t block) const { return bf16_value(body_ + 2 * block); }

void UpdateReader::check_scales() {
  const float steps = header_.codec == Codec::int8 ? 128.0f : 8.0f;
  const int64_t blocks = block_count(header_.count);
  for (int64_t b = 0; b < blocks; ++b) {
    const float step = scale(b), largest = steps * step;
    if (!(largest <= 0x1.fffffep127f) || std::signbit(step))
      fail(Code::E_FORMAT, "encoded update: the scale of block %lld is %g, expected a finite number not below 0", static_cast<long long>(b),
           step);
    include(ranges_[static_cast<size_t>(b * update_block / update_tile)], step, largest);
  }
  if (header_.codec == Codec::int4 && header_.count % 2 != 0 && body_[header_.body_bytes - 1] > 15)
    fail(Code::E_FORMAT, "encoded update: spare bits are not 0");
}

void UpdateReader::check_levels() {
  if (header_.sent == 0) return;
  const int levels = 1 << (header_.bits - 1);
  for (int level = 0; level < levels; ++level) {
    const float magnitude = bf16_value(body_ + 2 * level);
    if (!(magnitude <= 0x1.fffffep127f) || std::signbit(magnitude))
      fail(Code::E_FORMAT, "encoded update: level %d is %g, expected a finite number not below 0", level, magnitude);
    code_values_[level] = magnitude;
    code_values_[levels + level] = -magnitude;
    include(level_range_, magnitude, magnitude);
  }
}

// The j-th one bit of the quotients stands at index i = j + (sum of the first j + 1 quotients), so that
// position_j = ((i − j) << b) + (sum of the first j + 1 remainders) + j: no quotient is ever counted out bit by bit.
void UpdateReader::read_positions() {
  if (header_.sent == 0) return;
  layout_ = topk_layout(header_.bits, header_.parameter, header_.sent);
  const int b = header_.parameter;
  const uint64_t mask = (uint64_t{1} << b) - 1;
  const auto spare = [](const uint8_t* end, int64_t bits) { return bits % 8 == 0 ? 0 : end[-1] >> (bits % 8); };
  if (spare(body_ + layout_.remainders, header_.sent * header_.bits) || spare(body_ + layout_.quotients, header_.sent * b))
    fail(Code::E_FORMAT, "encoded update: spare bits are not 0");
  positions_.resize(static_cast<size_t>(header_.sent));
  const uint8_t* quotients = body_ + layout_.quotients;
  const int64_t bytes = header_.body_bytes - layout_.quotients, remainder_bytes = layout_.quotients - layout_.remainders;
  int64_t entry = 0;
  uint64_t remainders = 0, position = 0;
  for (int64_t byte = 0; byte < bytes; byte += 8) {
    uint64_t word = 0;
    std::memcpy(&word, quotients + byte, static_cast<size_t>(std::min<int64_t>(8, bytes - byte)));
    if (std::popcount(word) > header_.sent - entry) fail(Code::E_FORMAT, "encoded update: more positions than entries");
    for (; word != 0; word &= word - 1, ++entry) {
      const uint64_t at = static_cast<uint64_t>(byte * 8 + std::countr_zero(word)), j = static_cast<uint64_t>(entry);
      remainders += bits_at(body_ + layout_.remainders, remainder_bytes, entry * b) & mask;
      position = ((at - j) << b) + remainders + j;
      positions_[static_cast<size_t>(entry)] = static_cast<uint32_t>(position);
    }
  }
  if (entry != header_.sent || quotients[bytes - 1] == 0) fail(Code::E_FORMAT, "encoded update: fewer positions than entries");
  if (position >= static_cast<uint64_t>(header_.count))  // positions rise, the last one speaks for all
    fail(Code::E_FORMAT, "encoded update: position %llu in an update of %lld elements", static_cast<unsigned long long>(position),
         static_cast<long long>(header_.count));
}

TileRange UpdateReader::tile_range(int64_t tile) const { return sparse() ? level_range_ : ranges_[static_cast<size_t>(tile)]; }

void UpdateReader::decode(int64_t first, int64_t count, float* out) const {
  const int64_t blocks = block_count(count);
  float scales[update_tile / update_block];
  switch (header_.codec) {
    case Codec::f32:
      std::memcpy(out, body_ + 4 * first, static_cast<size_t>(count) * 4);
      return;
    case Codec::bf16: {
      alignas(64) uint16_t words[update_tile];
      std::memcpy(words, body_ + 2 * first, static_cast<size_t>(count) * 2);
      kernels_->decode_bf16(words, count, out);
      return;
    }
    case Codec::int8:
    case Codec::int4: {
      for (int64_t b = 0; b < blocks; ++b) scales[b] = scale(first / update_block + b);
      const uint8_t* codes = body_ + 2 * block_count(header_.count);
      if (header_.codec == Codec::int8) return kernels_->dequantize(codes + first, scales, count, out);
      alignas(64) uint8_t unpacked[update_tile + 1];
      kernels_->unpack_int4(codes + first / 2, (count + 1) / 2, unpacked);
      kernels_->dequantize(unpacked, scales, count, out);
      return;
    }
    case Codec::topk: {
      std::fill_n(out, count, 0.0f);
      alignas(64) float sent[update_tile];
      const int64_t begin = first_entry(first), end = end_entry(begin, first + count);
      entry_values(begin, end - begin, sent);
      for (int64_t e = begin; e < end; ++e) out[positions_[static_cast<size_t>(e)] - first] = sent[e - begin];
      return;
    }
  }
}

const float* UpdateReader::values(int64_t first, int64_t count, float* scratch) const {
  const uint8_t* bytes = body_ + 4 * first;
  if (header_.codec == Codec::f32 && reinterpret_cast<uintptr_t>(bytes) % alignof(float) == 0) return reinterpret_cast<const float*>(bytes);
  decode(first, count, scratch);
  return scratch;
}

int64_t UpdateReader::first_entry(int64_t position) const {
  return std::lower_bound(positions_.begin(), positions_.end(), position,
                          [](uint32_t entry, int64_t wanted) { return static_cast<int64_t>(entry) < wanted; }) -
         positions_.begin();
}

int64_t UpdateReader::end_entry(int64_t entry, int64_t end) const {
  while (entry < header_.sent && static_cast<int64_t>(positions_[static_cast<size_t>(entry)]) < end) ++entry;
  return entry;
}

void UpdateReader::entry_values(int64_t first, int64_t count, float* out) const {
  const uint8_t* codes = body_ + layout_.values;
  const int bits = header_.bits, per_byte = 8 / bits;
  const unsigned mask = (1u << bits) - 1;
  for (int64_t e = first; e < first + count; ++e) out[e - first] = code_values_[(codes[e / per_byte] >> (e % per_byte * bits)) & mask];
}

}  // namespace fedlora
