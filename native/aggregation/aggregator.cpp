// A run of tiles takes one message after the other, or a few of one codec at once: their part is checked and added while it is in the
// cache, and so are the sums. What turns out to be damaged only at the end is subtracted again, which is exact.
#include "aggregation/aggregator.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <exception>
#include <new>
#include <optional>

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

namespace {
/// Where groups of messages begin that a kernel adds in one pass; the last entry is the end.
template <class Source>
std::vector<size_t> group_ends(const std::vector<Source>& sources, const SumKernels& kernels) {
  const auto together = [&](Codec codec) {
    return (codec == Codec::f32 && kernels.add_checked_f32) || (codec == Codec::bf16 && kernels.add_checked_bf16) ||
           (codec == Codec::int8 && kernels.add_codes_together);
  };
  std::vector<size_t> ends = {0};
  for (size_t i = 0; i < sources.size(); i = ends.back()) {
    const Codec codec = sources[i].reader.header().codec;
    size_t end = i + 1;
    while (together(codec) && end < sources.size() && end - i < most_together && sources[end].reader.header().codec == codec) ++end;
    ends.push_back(end);
  }
  return ends;
}
}  // namespace

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
    std::vector<Source> sources = open(messages, pool);
    const std::vector<size_t> groups = group_ends(sources, *kernels_);
    const int64_t tasks = (static_cast<int64_t>(tiles_.size()) + task_tiles - 1) / task_tiles;
    const int64_t stride = task_tiles * (pool ? pool->threads() : 1);
    std::vector<size_t> added(static_cast<size_t>(tasks));  // by each run: how many of the sources
    std::atomic<bool> exhausted{false};
    run_tasks(pool, tasks, [&](int64_t task, int) {
      size_t& done = added[static_cast<size_t>(task)];
      try {
        for (size_t g = 0; g + 1 < groups.size(); ++g) {
          const std::span<Source> group = std::span(sources).subspan(groups[g], groups[g + 1] - groups[g]);
          const bool last = g + 2 == groups.size();
          const Later later = last ? Later{sources, stride} : Later{std::span(sources).subspan(groups[g + 1]), 0};
          const size_t taken = add_group(group, later, run_of(task));
          done += taken;
          if (taken < group.size()) break;
        }
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

/// Checks headers and weights, and opens the messages: each on a thread of its own when there are several.
std::vector<Aggregator::Source> Aggregator::open(std::span<const WeightedMessage> messages, ThreadPool* pool) const {
  std::vector<std::optional<Source>> opened(messages.size());
  std::vector<std::exception_ptr> failures(messages.size());
  const auto open_one = [&](int64_t index, ThreadPool* helpers) {
    const size_t i = static_cast<size_t>(index);
    const WeightedMessage& message = messages[i];
    const double weight = grid_weight(message.weight);
    const int64_t count = read_header(message.bytes).count;
    if (count != length_)
      fail(Code::E_SHAPE, "the update has %lld elements, this aggregator takes %lld", static_cast<long long>(count),
           static_cast<long long>(length_));
    opened[i].emplace(Source{UpdateReader(message.bytes, helpers, *codec_, UpdateReader::Deferred{}), weight, weight_lowest_bit(weight)});
  };
  if (messages.size() == 1)
    open_one(0, pool);
  else
    run_tasks(pool, static_cast<int64_t>(messages.size()), [&](int64_t index, int) {
      try {
        open_one(index, nullptr);
      } catch (...) {
        failures[static_cast<size_t>(index)] = std::current_exception();
      }
    });
  std::vector<Source> sources;
  sources.reserve(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    if (failures[i]) std::rethrow_exception(failures[i]);
    sources.push_back(std::move(*opened[i]));
  }
  return sources;
}

Aggregator::Run Aggregator::run_of(int64_t task) const {
  return {task * task_tiles, std::min((task + 1) * task_tiles, static_cast<int64_t>(tiles_.size()))};
}

/// Adds the run of a group's messages, together where that is possible; gives how many were added, in order.
size_t Aggregator::add_group(std::span<Source> group, Later later, Run run) {
  const UpdateReader& first = group.front().reader;
  const bool whole = run.end * update_tile <= length_;
  const Codec codec = first.header().codec;
  if (whole && (codec == Codec::f32 ? kernels_->add_checked_f32 : codec == Codec::bf16 ? kernels_->add_checked_bf16 : nullptr))
    if (add_floats(group, later, run)) return group.size();
  if (whole && codec == Codec::int8 && kernels_->add_codes_together && add_codes(group, later, run)) return group.size();
  size_t done = 0;
  while (done < group.size() && add_run(group[done], run)) ++done;
  return done;
}

/// The message whose bytes come after those of message k of a group, if it has the same codec.
const UpdateReader* Aggregator::follower(const Later& later, size_t k, Codec codec) {
  if (k >= later.messages.size() || later.messages[k].reader.header().codec != codec) return nullptr;
  return &later.messages[k].reader;
}

/// False, and nothing is added, when the run must be added message by message.
bool Aggregator::add_floats(std::span<Source> group, Later later, Run run) {
  FloatTiles messages;
  const Codec codec = group.front().reader.header().codec;
  messages.mantissa_bits = codec == Codec::f32 ? 23 : 7;
  const int64_t ahead = codec == Codec::f32 ? 1 : 2;  // tiles: 8 KiB are on their way while as many are added
  messages.count = static_cast<int>(group.size());
  for (size_t k = 0; k < group.size(); ++k) messages.weight[k] = group[k].weight, messages.weight_bit[k] = group[k].weight_bit;
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    TileSum& sum = tiles_[static_cast<size_t>(tile)];
    for (size_t k = 0; k < group.size(); ++k) {
      UpdateReader& reader = group[k].reader;
      const bool more = tile + ahead < run.end;
      const UpdateReader* next = more ? &reader : follower(later, k, codec);
      const int64_t wanted = tile + ahead + (more ? 0 : run.first - run.end + later.tiles);
      const uint8_t* soon = next && (wanted + 1) * update_tile <= length_ ? next->tile_bytes(wanted) : reader.tile_bytes(tile);
      messages.tile[k] = {reader.tile_bytes(tile), soon, 0, reader.tile_checksums(tile)};
    }
    if (sum.empty()) {  // a first guess of the sum's range from one of the messages
      const TileRange range = group.front().reader.measure_tile(tile);
      if (std::isfinite(range.largest)) sum.expect(messages.load(range));
    }
    if (sum.add_checked(messages, *kernels_)) continue;
    size_t done = 0;
    const auto take_back = [&] {
      for (const Source& source : group) add_values(source, {run.first, tile}, -source.weight);
      for (const Source& source : group.first(done)) add_values(source, {tile, tile + 1}, -source.weight);
    };
    try {
      while (done < group.size() && add_run(group[done], {tile, tile + 1})) ++done;
    } catch (const Error&) {
      take_back();
      throw;
    }
    if (done == group.size()) continue;
    take_back();
    return false;
  }
  return true;
}

/// False, and nothing is added, when the run must be added message by message.
bool Aggregator::add_codes(std::span<Source> group, Later later, Run run) {
  for (Source& source : group) source.reader.check_tiles(run.first, run.end);
  std::array<TileLoad, task_tiles> loads;
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    TileLoad& load = loads[static_cast<size_t>(tile - run.first)];
    for (const Source& source : group) {
      const TileRange range = source.reader.tile_range(tile);
      load.include(static_cast<double>(range.largest) * source.weight, range.lowest_bit + source.weight_bit);
    }
    tiles_[static_cast<size_t>(tile)].prepare(load);
  }
  CodeTiles messages;
  messages.count = static_cast<int>(group.size());
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    for (size_t k = 0; k < group.size(); ++k) {
      const UpdateReader& reader = group[k].reader;
      const int8_t* codes = reader.codes(tile * update_tile, update_tile, nullptr);
      const UpdateReader* next = (tile + later.tiles + 1) * update_tile <= length_ ? follower(later, k, Codec::int8) : nullptr;
      messages.tile[k] = {codes, next ? next->codes((tile + later.tiles) * update_tile, update_tile, nullptr) : codes, nullptr};
      messages.weight[k] = group[k].weight;
      reader.scales(tile * update_tile / update_block, update_tile / update_block, messages.scales[k]);
    }
    const TileLoad& load = loads[static_cast<size_t>(tile - run.first)];
    if (tiles_[static_cast<size_t>(tile)].add_together(messages, load, *kernels_)) continue;
    for (const Source& source : group) add_values(source, {tile, tile + 1}, source.weight);
  }
  return true;
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
      reader.scales(first / update_block, block_count(count), scales);
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
