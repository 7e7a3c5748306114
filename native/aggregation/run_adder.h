/// What is added: a run of tiles takes one message after the other, or a few of one codec at once. Their part is checked and added while
/// it is in the cache, and so are the sums. What turns out to be damaged only at the end is taken back, which is exact.
#pragma once
#include <array>
#include <span>

#include "aggregation/message.h"
#include "aggregation/prefetch.h"
#include "aggregation/tile_sum.h"

namespace fedlora {

/// Tiles of a run: 256 KiB of sums, 128 KiB of f32.
inline constexpr int64_t run_tiles = 16;

/// True when `kernels` can add several messages of this codec in one pass.
bool adds_together(Codec codec, const SumKernels& kernels);

class RunAdder {
 public:
  /// `tiles` of `length` elements. Runs that do not overlap may be added by several threads.
  RunAdder(std::span<TileSum> tiles, int64_t length, const SumKernels& kernels) : tiles_(tiles), length_(length), kernels_(kernels) {}

  struct Added {
    size_t messages = 0;
    bool exhausted = false;
  };
  /// Adds a run of the messages of a group, which have one codec, in order: all, or those before the first that holds what is not finite
  /// there or, when `exhausted`, that memory is short for. What is not counted was not added. Throws nothing.
  Added add(std::span<OpenMessage> group, const Upcoming& upcoming, TileRun run);
  void take_back(const OpenMessage& message, TileRun run) { add_values(message, run, -message.weight); }

 private:
  enum class Readiness { ready, not_finite, exhausted };
  using Loads = std::array<TileLoad, run_tiles>;
  Readiness prepare(std::span<OpenMessage> group, TileRun run, Loads& loads);
  bool add_floats(std::span<OpenMessage> group, const Upcoming& upcoming, TileRun run);
  bool add_codes(std::span<OpenMessage> group, const Upcoming& upcoming, TileRun run);
  void add_values(const OpenMessage& message, TileRun run, double weight);
  TileSum& sum(int64_t tile) { return tiles_[static_cast<size_t>(tile)]; }

  std::span<TileSum> tiles_;
  int64_t length_;
  const SumKernels& kernels_;
};

}  // namespace fedlora
