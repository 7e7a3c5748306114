/// Weighted mean of encoded updates, in one streaming pass: messages are decoded and added tile by tile, and no update ever exists
/// as a dense vector.
///
///   mean[i] = Σ_j w_j · v_j[i] / Σ_j w_j
///
/// Both sums are exact (tile_sum.h, weight.h); they are rounded to double once, divided in double and rounded to float32. So the mean
/// is the same, bit for bit, for any order of arrival, any grouping into calls and any tree of merges, any number of threads and any
/// instruction set, and
///
///   |mean[i] − truth| ≤ (1/2 + 2^-27) ulp of float32            truth: the quotient of the exact sums
///
/// where w_j is the weight on its grid (weight.h: whole numbers up to 536,870,912 exactly, others to 1.9e-9 of themselves).
/// A refused call leaves the aggregator as it was. Memory: 8 bytes an element for updates of ordinary range, 16 or 56 where a tile
/// needs them. Not safe for concurrent calls; a pool parallelises over tiles.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "aggregation/message.h"
#include "aggregation/tile_sum.h"
#include "aggregation/weight.h"

namespace fedlora {

class Aggregator {
 public:
  /// Throws E_ARGUMENT for a negative or too large length, E_MEMORY.
  explicit Aggregator(int64_t length);
  Aggregator(int64_t length, const CodecKernels& codec, const SumKernels& sum);

  /// Throws E_SHAPE (another length), E_ARGUMENT (weight), E_MEMORY and what UpdateReader throws.
  void add(std::span<const uint8_t> message, double weight, ThreadPool* pool = nullptr);
  /// A vector that never was a message: the bits of adding its f32 message. Throws E_NONFINITE, and as above.
  void add_vector(std::span<const float> values, double weight, ThreadPool* pool = nullptr);
  /// The same for several messages at once, all or none: each run of tiles takes all of them while it is in the cache.
  void add(std::span<const WeightedMessage> messages, ThreadPool* pool = nullptr);
  /// Adds what another aggregator of the same length has received. Throws E_SHAPE, E_MEMORY.
  void merge(const Aggregator& other);
  /// The sums as bytes (partial_sum.h), for an aggregator on another machine.
  std::vector<uint8_t> partial(ThreadPool* pool = nullptr) const;
  /// Adds what the aggregator received whose partial sums these are. Throws E_FORMAT, E_VERSION, E_CHECKSUM, E_SHAPE, E_MEMORY.
  void merge(std::span<const uint8_t> partial, ThreadPool* pool = nullptr);

  /// Throws E_SHAPE, and E_ARGUMENT when nothing was added.
  void mean(std::span<float> out, ThreadPool* pool = nullptr) const;
  int64_t length() const { return length_; }
  double total_weight() const { return weight_.value(); }
  /// Number of updates received.
  int64_t count() const { return received_; }
  void reset();

 private:
  const CodecKernels* codec_;
  const SumKernels* kernels_;
  int64_t length_;
  AlignedBuffer<int64_t> low_;
  std::vector<TileSum> tiles_;
  WeightSum weight_;
  int64_t received_ = 0;
};

}  // namespace fedlora
