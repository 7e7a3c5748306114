// Validation of a message.
#include "compression/update_reader.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/half.h"
#include "compression/checksum.h"
#include "compression/topk_coded.h"
#include "compression/topk_rice.h"

namespace fedlora {

namespace {
/// Checksum segments and tiles that one task checks: the bytes stay in the second-level cache.
constexpr int64_t task_segments = 16, task_tiles = 16;

float bf16_value(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, 2);
  return to_f32(bf16{bits});
}

void include(TileRange& range, float bf16_magnitude, float largest) {
  if (bf16_magnitude == 0) return;
  const MagnitudeBits bits{std::bit_cast<uint32_t>(bf16_magnitude) >> 16, 0x7f7f};
  range.lowest_bit = std::min(range.lowest_bit, float_range(bits, 7).lowest_bit);
  range.largest = std::max(range.largest, largest);
}
}  // namespace

/// Exponent of the last place of the smallest magnitude: every float of at least that magnitude is a multiple of 2^it.
TileRange float_range(MagnitudeBits bits, int mantissa_bits) {
  TileRange range;
  if (bits.largest == 0) return range;
  range.largest = std::bit_cast<float>(bits.largest << (23 - mantissa_bits));
  range.lowest_bit = std::max(static_cast<int>(bits.smallest >> mantissa_bits), 1) - 127 - mantissa_bits;
  return range;
}

UpdateReader::UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool) : UpdateReader(bytes, pool, codec_kernels()) {}

UpdateReader::UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool, const CodecKernels& kernels)
    : UpdateReader(bytes, pool, kernels, Deferred{}) {
  if (!deferred()) return;
  run_tasks(pool, (tiles() + task_tiles - 1) / task_tiles,
            [&](int64_t task, int) { check_tiles(task * task_tiles, std::min((task + 1) * task_tiles, tiles())); });
  finish_check();
}

UpdateReader::UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool, const CodecKernels& kernels, Deferred)
    : kernels_(&kernels), header_(read_header(bytes)), body_(bytes.data() + update_header_bytes) {
  try {
    const int64_t segments = static_cast<int64_t>(checksum_segments(static_cast<size_t>(header_.body_bytes)));
    checksums_.resize(static_cast<size_t>(segments));
    if (header_.codec != Codec::topk) ranges_.resize(static_cast<size_t>(tiles()));
    const auto check_all = [&] {
      run_tasks(pool, (segments + task_segments - 1) / task_segments,
                [&](int64_t task, int) { take_checksums(task * task_segments, std::min((task + 1) * task_segments, segments)); });
      finish_check();
    };
    if (coded()) {
      try {
        check_scales();
      } catch (const Error&) {  // damage on the way, if it can be told, explains more than what it did
        check_all();
        throw;
      }
    }
    if (deferred()) return;
    check_all();
    if (header_.codec == Codec::sign) {
      check_signs();
      return;
    }
    if (header_.codec == Codec::lowrank) {
      products_ = LowRankReader(header_, body_, *kernels_);
      check_products(pool);
      return;
    }
    read_entries();
    header_.codec == Codec::topk ? check_levels() : check_entries();
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to read an encoded update of %zu bytes", bytes.size());
  }
}

UpdateReader::UpdateReader(std::span<const float> values, const CodecKernels& kernels, Deferred)
    : kernels_(&kernels), body_(reinterpret_cast<const uint8_t*>(values.data())), plain_(true) {
  header_.count = header_.sent = static_cast<int64_t>(values.size());
  header_.body_bytes = static_cast<int64_t>(values.size_bytes());
  checksums_.resize(checksum_segments(values.size_bytes()));
  ranges_.resize(static_cast<size_t>(tiles()));
}

void UpdateReader::take_checksums(int64_t first_segment, int64_t end_segment) {
  if (plain_) return;
  constexpr int64_t segment = checksum_segment_bytes;
  const int64_t begin = first_segment * segment, end = std::min(end_segment * segment, header_.body_bytes);
  segment_checksums({body_ + begin, static_cast<size_t>(end - begin)}, checksums_.data() + first_segment);
}

bool UpdateReader::check_tiles(int64_t first, int64_t end) {
  if (!deferred()) return true;
  if (coded()) {  // the segments that end within the codes of these tiles; the scales go with the first, a last part with the last
    const int64_t codes = 2 * block_count(header_.count), segment = static_cast<int64_t>(checksum_segment_bytes);
    const auto segments_before = [&](int64_t tile) {
      if (tile == 0) return int64_t{0};
      return tile == tiles() ? static_cast<int64_t>(checksums_.size()) : (codes + tile * update_tile * header_.bits / 8) / segment;
    };
    take_checksums(segments_before(first), segments_before(end));
    return true;
  }
  const int64_t tile_bytes = update_tile * header_.bits / 8;
  static_assert(update_tile * 2 % checksum_segment_bytes == 0, "a tile of floats is a whole number of checksum segments");
  const int64_t per_tile = tile_bytes / static_cast<int64_t>(checksum_segment_bytes);
  take_checksums(first * per_tile, std::min(end * per_tile, static_cast<int64_t>(checksums_.size())));
  bool finite = true;
  for (int64_t tile = first; tile < end; ++tile) {
    const TileRange range = measure_tile(tile);
    ranges_[static_cast<size_t>(tile)] = range;
    finite = finite && std::isfinite(range.largest);
  }
  return finite;
}

TileRange UpdateReader::measure_tile(int64_t tile) const {
  const int64_t first = tile * update_tile, count = std::min(update_tile, header_.count - first);
  if (header_.codec == Codec::f32) {
    alignas(64) float scratch[update_tile];
    return float_range(kernels_->range_f32(values(first, count, scratch), count), 23);
  }
  return float_range(kernels_->range_bf16(body_ + 2 * first, count), 7);
}

void UpdateReader::finish_check() const {
  if (!plain_ && combine_checksums(checksums_) != header_.body_checksum)
    fail(Code::E_CHECKSUM, "encoded update: the body's checksum differs; the message is damaged, have it sent again");
  alignas(64) float scratch[update_tile];
  for (int64_t tile = 0; floats() && tile < tiles(); ++tile) {
    if (std::isfinite(ranges_[static_cast<size_t>(tile)].largest)) continue;
    const int64_t first = tile * update_tile, count = std::min(update_tile, header_.count - first);
    decode(first, count, scratch);
    for (int64_t i = 0; i < count; ++i)
      if (!std::isfinite(scratch[i]))
        fail(Code::E_NONFINITE, "%s: element %lld is %g; %s", plain_ ? "vector" : "encoded update", static_cast<long long>(first + i),
             static_cast<double>(scratch[i]), plain_ ? "only finite vectors can be added" : "the sender must not encode such an update");
  }
}

void UpdateReader::check_scales() {
  const float steps = header_.codec == Codec::int8 ? 128.0f : 8.0f;
  constexpr int64_t tile_blocks = update_tile / update_block;
  const int64_t blocks = block_count(header_.count);
  for (int64_t tile = 0; tile < tiles(); ++tile) {
    const int64_t first = tile * tile_blocks, count = std::min(tile_blocks, blocks - first);
    uint16_t words[tile_blocks] = {};
    std::memcpy(words, body_ + 2 * first, static_cast<size_t>(count) * 2);
    uint16_t most = 0, less = 0xffff;  // a scale that is negative or not a number has a large pattern; less: of the smallest, minus one
    for (uint16_t word : words) {
      most = std::max(most, word);
      less = std::min(less, static_cast<uint16_t>(word - 1));
    }
    const float largest = steps * to_f32(bf16{most});
    if (!(largest <= 0x1.fffffep127f) || most >> 15) fail_scale(first, count);
    if (most > 0) ranges_[static_cast<size_t>(tile)] = {largest, float_range({less + 1u, 0x7f7f}, 7).lowest_bit};
  }
  if (header_.codec == Codec::int4 && header_.count % 2 != 0 && body_[header_.body_bytes - 1] > 15)
    fail(Code::E_FORMAT, "encoded update: spare bits are not 0");
}

void UpdateReader::fail_scale(int64_t first, int64_t count) const {
  const float steps = header_.codec == Codec::int8 ? 128.0f : 8.0f;
  for (int64_t b = first; b < first + count; ++b) {
    const float step = bf16_value(body_ + 2 * b);
    if (!(steps * step <= 0x1.fffffep127f) || std::signbit(step))
      fail(Code::E_FORMAT, "encoded update: the scale of block %lld is %g, expected a finite number not below 0", static_cast<long long>(b),
           step);
  }
  fail(Code::E_INTERNAL, "a scale was refused that is a finite number");
}

void UpdateReader::check_signs() {
  constexpr int64_t tile_blocks = update_tile / sign_block;
  const int64_t blocks = sign_block_count(header_.count);
  for (int64_t b = 0; b < blocks; ++b) {
    const float scale = bf16_value(body_ + 2 * b);
    if (!(scale <= 0x1.fffffep127f) || std::signbit(scale))
      fail(Code::E_FORMAT, "encoded update: the scale of block %lld is %g, expected a finite number not below 0", static_cast<long long>(b),
           scale);
    include(ranges_[static_cast<size_t>(b / tile_blocks)], scale, scale);
  }
  if (header_.count % 8 != 0 && body_[header_.body_bytes - 1] >> (header_.count % 8) != 0)
    fail(Code::E_FORMAT, "encoded update: spare bits are not 0");
}

/// randk, blocks: the range of every tile's entries.
void UpdateReader::check_entries() {
  chosen_.check();
  alignas(64) float sent[update_tile];
  const int mantissa = chosen_.mantissa_bits(), unused = 23 - mantissa;
  for (int64_t tile = 0, begin = 0; tile < tiles() && begin < header_.sent; ++tile) {
    const int64_t end = end_entry(begin, (tile + 1) * update_tile);
    entry_values(begin, end - begin, sent);
    const MagnitudeBits bits = kernels_->range_f32(sent, end - begin);
    if (!std::isfinite(std::bit_cast<float>(bits.largest)))
      fail(Code::E_NONFINITE, "encoded update: an element of %lld to %lld is not finite; the sender must not encode such an update",
           static_cast<long long>(tile * update_tile), static_cast<long long>(std::min((tile + 1) * update_tile, header_.count) - 1));
    if (bits.largest > 0) ranges_[static_cast<size_t>(tile)] = float_range({bits.smallest >> unused, bits.largest >> unused}, mantissa);
    begin = end;
  }
}

void UpdateReader::check_products(ThreadPool* pool) {
  std::atomic<bool> finite{true};
  run_tasks(pool, (tiles() + task_tiles - 1) / task_tiles, [&](int64_t task, int) {
    alignas(64) float sent[update_tile];
    for (int64_t tile = task * task_tiles; tile < std::min((task + 1) * task_tiles, tiles()); ++tile) {
      const int64_t first = tile * update_tile, count = std::min(update_tile, header_.count - first);
      decode(first, count, sent);
      const TileRange range = float_range(kernels_->range_f32(sent, count), 23);
      if (!std::isfinite(range.largest)) finite = false;
      ranges_[static_cast<size_t>(tile)] = range;
    }
  });
  if (!finite) fail(Code::E_NONFINITE, "encoded update: a product is not finite; the sender must not encode such an update");
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

void UpdateReader::read_entries() {
  if (is_chosen(header_.codec)) {
    chosen_ = read_chosen(header_, body_, positions_);
    return;
  }
  if (header_.sent == 0) return;
  if (header_.version == 1) {
    layout_ = topk_layout(header_.bits, header_.parameter, header_.sent);
    return read_rice_positions(header_, body_, positions_);
  }
  const size_t levels = static_cast<size_t>(2) << (header_.bits - 1);
  read_coded_entries(header_, {body_ + levels, static_cast<size_t>(header_.body_bytes) - levels}, positions_, codes_);
}

}  // namespace fedlora
