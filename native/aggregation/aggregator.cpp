// A run of tiles takes one message after the other: its part of the message is checked and added while it is in the second-level
// cache, and so are the sums. What turns out to be damaged only at the end is subtracted again, which is exact.
#include "aggregation/aggregator.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <new>

#include "base/error.h"

namespace fedlora {

namespace {
/// Tiles of one task: 256 KiB of sums, 128 KiB of f32.
constexpr int64_t task_tiles = 16;

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
      sources.push_back({UpdateReader(message.bytes, pool, *codec_, UpdateReader::Deferred{}), weight, weight_lowest_bit(weight)});
    }
    const int64_t tasks = (static_cast<int64_t>(tiles_.size()) + task_tiles - 1) / task_tiles;
    std::vector<size_t> added(static_cast<size_t>(tasks));  // by each run: how many of the sources
    std::atomic<bool> exhausted{false};
    run_tasks(pool, tasks, [&](int64_t task, int) {
      size_t& done = added[static_cast<size_t>(task)];
      try {
        while (done < sources.size() && add_run(sources[done], run_of(task))) ++done;
      } catch (const Error&) {  // E_MEMORY is all that a run throws; it must not leave a task of the pool
        exhausted = true;
      }
    });
    try {
      if (exhausted) fail(Code::E_MEMORY, "no memory for the exact sums of %lld elements", static_cast<long long>(length_));
      for (const Source& source : sources) source.reader.finish_check();
    } catch (const Error&) {
      for (int64_t task = 0; task < tasks; ++task)
        for (size_t s = 0; s < added[static_cast<size_t>(task)]; ++s) add_values(sources[s], run_of(task), -sources[s].weight);
      throw;
    }
    for (const Source& source : sources) weight_.add(source.weight);
    received_ += static_cast<int64_t>(sources.size());
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to add %zu updates of %lld elements", messages.size(), static_cast<long long>(length_));
  }
}

Aggregator::Run Aggregator::run_of(int64_t task) const {
  return {task * task_tiles, std::min((task + 1) * task_tiles, static_cast<int64_t>(tiles_.size()))};
}

/// False when the message holds what is not finite there. Nothing is added then, nor when this throws E_MEMORY.
bool Aggregator::add_run(Source& source, Run run) {
  if (!source.reader.check_tiles(run.first, run.end)) return false;
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    const TileRange range = source.reader.tile_range(tile);
    TileLoad load;
    load.include(static_cast<double>(range.largest) * source.weight, range.lowest_bit + source.weight_bit);
    tiles_[static_cast<size_t>(tile)].prepare(load);
  }
  add_values(source, run, source.weight);
  return true;
}

void Aggregator::add_values(const Source& source, Run run, double weight) {
  alignas(64) float scratch[update_tile];
  const UpdateReader& reader = source.reader;
  int64_t entry = reader.sparse() ? reader.first_entry(run.first * update_tile) : 0;
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    const int64_t first = tile * update_tile, count = std::min(update_tile, length_ - first);
    TileSum& sum = tiles_[static_cast<size_t>(tile)];
    if (reader.coded()) {
      alignas(64) int8_t codes[update_tile + 1];
      float scales[update_tile / update_block];
      for (int64_t b = 0; b < block_count(count); ++b) scales[b] = reader.scale(first / update_block + b);
      sum.add_codes(reader.codes(first, count, codes), scales, weight, *kernels_);
      continue;
    }
    if (!reader.sparse()) {
      sum.add(reader.values(first, count, scratch), weight, *kernels_);
      continue;
    }
    const int64_t end = reader.end_entry(entry, first + count);
    reader.entry_values(entry, end - entry, scratch);
    sum.add_entries(reader.positions() + entry, first, scratch, end - entry, weight);
    entry = end;
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
  run_tasks(pool, (tiles + task_tiles - 1) / task_tiles, [&](int64_t task, int) {
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
