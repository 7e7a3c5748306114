/// Reads an encoded update tile by tile, without a dense copy of it.
///
/// The constructor checks everything once: header, lengths, checksums, spare bits, that every number is finite and every position
/// valid; after it, reading cannot fail. It throws E_FORMAT, E_VERSION, E_CHECKSUM or E_NONFINITE and reads nothing outside the
/// message. Beside the message it keeps 8 bytes per tile of a dense message, 4 bytes per entry of a topk message.
/// The bytes must stay alive and unchanged while the reader is used. Reading is const and safe from several threads.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "compression/kernels.h"
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

class UpdateReader {
 public:
  explicit UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool = nullptr);
  UpdateReader(std::span<const uint8_t> bytes, ThreadPool* pool, const CodecKernels& kernels);

  const UpdateHeader& header() const { return header_; }
  int64_t count() const { return header_.count; }
  bool sparse() const { return header_.codec == Codec::topk; }

  TileRange tile_range(int64_t tile) const;

  /// Elements [first, first + count) as floats; `first` is a multiple of update_tile, count ≤ update_tile.
  void decode(int64_t first, int64_t count, float* values) const;
  /// The same without a copy where the message holds aligned floats; `scratch` has room for count.
  const float* values(int64_t first, int64_t count, float* scratch) const;

  /// topk: positions of the entries (rising), the number of the first entry at or after a position, and the number of the first
  /// entry at or after `end`, sought upwards from `entry`.
  const uint32_t* positions() const { return positions_.data(); }
  int64_t first_entry(int64_t position) const;
  int64_t end_entry(int64_t entry, int64_t end) const;
  /// Values of the entries numbered [first, first + count).
  void entry_values(int64_t first, int64_t count, float* values) const;

 private:
  void check_body(std::span<const uint8_t> body, ThreadPool* pool);
  void check_finite() const;
  void check_scales();
  void check_levels();
  void read_positions();
  void measure_tile(int64_t tile);
  float scale(int64_t block) const;

  const CodecKernels* kernels_;
  UpdateHeader header_;
  const uint8_t* body_;
  std::vector<TileRange> ranges_;
  std::vector<uint32_t> positions_;
  /// topk: value of every code, negative ones in the upper half.
  float code_values_[256] = {};
  TileRange level_range_;
  TopkLayout layout_{};
};

}  // namespace fedlora
