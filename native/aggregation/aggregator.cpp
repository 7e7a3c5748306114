// Adding happens in three phases: check every message, make every tile ready, add. Only the first two can fail, and neither changes
// a sum.
#include "aggregation/aggregator.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <new>

#include "base/error.h"

namespace fedlora {

namespace {
/// Tiles of one task.
constexpr int64_t task_tiles = 16;

void for_each(ThreadPool* pool, int64_t tasks, const std::function<void(int64_t, int)>& task) {
  if (pool) return pool->run(tasks, task);
  for (int64_t i = 0; i < tasks; ++i) task(i, 0);
}

int64_t checked_length(int64_t length) {
  if (length < 0 || length > update_max_elements)
    fail(Code::E_ARGUMENT, "the length of an aggregator is %lld, expected 0 to %lld", static_cast<long long>(length),
         static_cast<long long>(update_max_elements));
  return length;
}
}  // namespace

struct Aggregator::Source {
  UpdateReader reader;
  double weight;
  int weight_bit;
};

Aggregator::Aggregator(int64_t length) : Aggregator(length, codec_kernels(), sum_kernels()) {}

Aggregator::Aggregator(int64_t length, const CodecKernels& codec, const SumKernels& sum)
    : codec_(&codec), kernels_(&sum), length_(checked_length(length)), low_(static_cast<size_t>(length)) {
  tiles_.reserve(static_cast<size_t>((length + update_tile - 1) / update_tile));
  for (int64_t first = 0; first < length; first += update_tile)
    tiles_.emplace_back(low_.data() + first, std::min(update_tile, length - first));
}

void Aggregator::add(std::span<const uint8_t> message, double weight, ThreadPool* pool) {
  const WeightedMessage one{message, weight};
  add({&one, 1}, pool);
}

void Aggregator::add(std::span<const WeightedMessage> messages, ThreadPool* pool) {
  try {
    std::vector<Source> sources;
    sources.reserve(messages.size());
    for (const WeightedMessage& message : messages) {
      const double weight = grid_weight(message.weight);
      const int64_t count = read_header(message.bytes).count;
      if (count != length_)
        fail(Code::E_SHAPE, "the update has %lld elements, this aggregator takes %lld", static_cast<long long>(count),
             static_cast<long long>(length_));
      sources.push_back({UpdateReader(message.bytes, pool, *codec_), weight, weight_lowest_bit(weight)});
    }
    prepare(sources, pool);
    const int64_t tiles = static_cast<int64_t>(tiles_.size());
    for_each(pool, (tiles + task_tiles - 1) / task_tiles,
             [&](int64_t task, int) { add_tiles(sources, task * task_tiles, std::min((task + 1) * task_tiles, tiles)); });
    for (const Source& source : sources) weight_.add(source.weight);
    received_ += static_cast<int64_t>(sources.size());
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to add %zu updates of %lld elements", messages.size(), static_cast<long long>(length_));
  }
}

void Aggregator::prepare(std::span<const Source> sources, ThreadPool* pool) {
  std::atomic<bool> exhausted{false};
  const int64_t tiles = static_cast<int64_t>(tiles_.size());
  for_each(pool, (tiles + task_tiles - 1) / task_tiles, [&](int64_t task, int) {
    try {
      for (int64_t tile = task * task_tiles; tile < std::min((task + 1) * task_tiles, tiles); ++tile) {
        TileLoad load;
        for (const Source& source : sources) {
          const TileRange range = source.reader.tile_range(tile);
          load.include(static_cast<double>(range.largest) * source.weight, range.lowest_bit + source.weight_bit);
        }
        tiles_[static_cast<size_t>(tile)].prepare(load);
      }
    } catch (const Error&) {  // E_MEMORY is all that prepare throws; it must not leave a task of the pool
      exhausted = true;
    }
  });
  if (exhausted) fail(Code::E_MEMORY, "no memory for the exact sums of %lld elements", static_cast<long long>(length_));
}

void Aggregator::add_tiles(std::span<const Source> sources, int64_t first_tile, int64_t end_tile) {
  alignas(64) float scratch[update_tile];
  for (int64_t tile = first_tile; tile < end_tile; ++tile) {
    const int64_t first = tile * update_tile, count = tile_length(tile);
    TileSum& sum = tiles_[static_cast<size_t>(tile)];
    for (const Source& source : sources) {
      const UpdateReader& reader = source.reader;
      if (!reader.sparse()) {
        sum.add(reader.values(first, count, scratch), source.weight, *kernels_);
        continue;
      }
      const int64_t begin = reader.first_entry(first), entries = reader.end_entry(begin, first + count) - begin;
      reader.entry_values(begin, entries, scratch);
      sum.add_entries(reader.positions() + begin, first, scratch, entries, source.weight);
    }
  }
}

void Aggregator::merge(const Aggregator& other) {
  if (other.length_ != length_)
    fail(Code::E_SHAPE, "merging aggregators of %lld and %lld elements, expected equal lengths", static_cast<long long>(length_),
         static_cast<long long>(other.length_));
  for (size_t tile = 0; tile < tiles_.size(); ++tile) tiles_[tile].prepare(other.tiles_[tile].load());
  for (size_t tile = 0; tile < tiles_.size(); ++tile) tiles_[tile].add(other.tiles_[tile]);
  weight_.add(other.weight_);
  received_ += other.received_;
}

void Aggregator::mean(std::span<float> out, ThreadPool* pool) const {
  if (static_cast<int64_t>(out.size()) != length_)
    fail(Code::E_SHAPE, "the mean has %lld elements, the output %zu", static_cast<long long>(length_), out.size());
  if (received_ == 0) fail(Code::E_ARGUMENT, "the mean of no updates; add one first");
  const double total = weight_.value();
  const int64_t tiles = static_cast<int64_t>(tiles_.size());
  for_each(pool, (tiles + task_tiles - 1) / task_tiles, [&](int64_t task, int) {
    for (int64_t tile = task * task_tiles; tile < std::min((task + 1) * task_tiles, tiles); ++tile)
      tiles_[static_cast<size_t>(tile)].mean(total, out.data() + tile * update_tile, *kernels_);
  });
}

void Aggregator::reset() {
  for (TileSum& tile : tiles_) tile.reset();
  weight_ = {};
  received_ = 0;
}

}  // namespace fedlora
