/// Reads an encoded update tile by tile, without a dense copy of it.
///
/// The constructor checks everything once: header, lengths, checksums, spare bits, that every number is finite and every position
/// valid; after it, reading cannot fail. It throws E_FORMAT, E_VERSION, E_CHECKSUM, E_NONFINITE or E_MEMORY and reads nothing outside
/// the message. Beside the message it keeps 8 bytes per tile, 4 bytes per entry of a sparse message, 5
/// where topk is coded.
/// The bytes must stay alive and unchanged while the reader is used. Reading is const and safe from several threads.
///
/// Checking a dense message costs one sweep of memory. `Deferred` leaves that sweep to the caller, who checks a run of tiles just
/// before using it, and must take back what he did when finish_check() throws.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "compression/checksum.h"
#include "compression/chosen_reader.h"
#include "compression/kernels.h"
#include "compression/low_rank.h"
#include "compression/wire.h"

namespace fedlora {

/// Elements of a tile: with its accumulators it fits the first-level cache.
inline constexpr int64_t update_tile = 2048;

/// What an exact sum must know of a tile: |value| ≤ largest, and every value is a multiple of 2^lowest_bit.
/// A tile of zeros has largest 0 and lowest_bit no_bits.
struct TileRange {
  static constexpr int no_bits = 1 << 20;
  float largest = 0;
  int lowest_bit = no_bits;
};

/// The range of floats with so many bits of mantissa (23 or 7) whose magnitudes have these patterns.
TileRange float_range(MagnitudeBits bits, int mantissa_bits);

class UpdateReader {
 public:
  struct Deferred {};

  explicit UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool = nullptr);
  UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool, const CodecKernels& kernels);
  UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool, const CodecKernels& kernels, Deferred);
  /// Values as they lie in memory, read like an f32 message of them; there is nothing to check but that they are finite.
  UpdateReader(std::span<const float> values, const CodecKernels& kernels, Deferred);

  /// Deferred readers: takes the checksums and ranges of tiles [first, end); false when one holds what is not finite. Disjoint runs
  /// may be checked by several threads. Other codecs than f32, bf16, int8 and
  /// int4 are checked already; true.
  bool check_tiles(int64_t first, int64_t end);
  /// f32 and bf16, for a caller who checks as he reads: a tile's range, its bytes, and where the checksums of its segments go.
  TileRange measure_tile(int64_t tile) const;
  const uint8_t* tile_bytes(int64_t tile) const { return body_ + tile * update_tile * header_.bits / 8; }
  uint32_t* tile_checksums(int64_t tile) {
    return checksums_.data() + tile * update_tile * header_.bits / 8 / static_cast<int64_t>(checksum_segment_bytes);
  }
  /// Once every tile was checked: throws E_CHECKSUM or E_NONFINITE.
  void finish_check() const;

  const UpdateHeader& header() const { return header_; }
  int64_t count() const { return header_.count; }
  /// Some of the elements are sent: read by entries.
  bool sparse() const { return sends_some(header_.codec); }

  TileRange tile_range(int64_t tile) const;

  /// Elements [first, first + count) as floats; `first` is a multiple of update_tile, count ≤ update_tile.
  void decode(int64_t first, int64_t count, float* values) const;
  /// The same without a copy where the message holds aligned floats; `scratch` has room for count.
  const float* values(int64_t first, int64_t count, float* scratch) const;

  /// int8 and int4: the codes themselves, without a copy for int8 (`scratch` has room for count + 1), and the scales of blocks.
  bool coded() const { return header_.codec == Codec::int8 || header_.codec == Codec::int4; }
  const int8_t* codes(int64_t first, int64_t count, int8_t* scratch) const;
  void scales(int64_t first_block, int64_t count, float* out) const;

  /// Sparse messages: positions of the entries (rising), the number of the first entry at or after a position, and the number of the first
  /// entry at or after `end`, sought upwards from `entry`.
  const uint32_t* positions() const { return positions_.data(); }
  int64_t first_entry(int64_t position) const;
  int64_t end_entry(int64_t entry, int64_t end) const;
  /// Values of the entries numbered [first, first + count).
  void entry_values(int64_t first, int64_t count, float* values) const;

 private:
  /// The tiles are checked as they are read.
  bool deferred() const { return floats() || coded(); }
  bool floats() const { return header_.codec == Codec::f32 || header_.codec == Codec::bf16; }
  int64_t tiles() const { return (header_.count + update_tile - 1) / update_tile; }
  void take_checksums(int64_t first_segment, int64_t end_segment);
  void check_scales();
  [[noreturn]] void fail_scale(int64_t first, int64_t count) const;
  void check_signs();
  void check_entries();
  void check_products(ThreadPool* pool);
  void check_levels();
  void read_entries();

  const CodecKernels* kernels_;
  UpdateHeader header_;
  const uint8_t* body_;
  bool plain_ = false;  // values without a message: no checksum speaks for them
  std::vector<uint32_t> checksums_;
  std::vector<TileRange> ranges_;
  std::vector<uint32_t> positions_;
  std::vector<uint8_t> codes_;  // of the entries, where they do not lie in the message
  /// randk, blocks.
  DenseValues chosen_;
  LowRankReader products_;
  /// topk: value of every code, negative ones in the upper half.
  float code_values_[256] = {};
  TileRange level_range_;
  TopkLayout layout_{};
};

}  // namespace fedlora
