#include "aggregation/aggregator.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "aggregation/run_adder.h"
#include "base/error.h"

namespace fedlora {

namespace {
int64_t checked_length(int64_t length) {
  if (length < 0 || length > update_max_elements)
    fail(Code::E_ARGUMENT, "the length of an aggregator is %lld, expected 0 to %lld", static_cast<long long>(length),
         static_cast<long long>(update_max_elements));
  return length;
}

/// Where groups of messages begin that a kernel adds in one pass; the last entry is the end.
std::vector<size_t> group_ends(const std::vector<OpenMessage>& messages, const SumKernels& kernels) {
  std::vector<size_t> ends = {0};
  for (size_t i = 0; i < messages.size(); i = ends.back()) {
    const Codec codec = messages[i].codec();
    size_t end = i + 1;
    while (adds_together(codec, kernels) && end < messages.size() && end - i < most_together && messages[end].codec() == codec) ++end;
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

void Aggregator::add_vector(std::span<const float> values, double weight, ThreadPool* pool) {
  const WeightedMessage one{{}, weight, values};
  add({&one, 1}, pool);
}

void Aggregator::add(std::span<const WeightedMessage> messages, ThreadPool* pool) {
  try {
    std::vector<OpenMessage> opened = open_messages(messages, length_, *codec_, pool);
    const std::span<OpenMessage> all(opened);
    const std::vector<size_t> groups = group_ends(opened, *kernels_);
    const int64_t tiles = static_cast<int64_t>(tiles_.size()), runs = (tiles + run_tiles - 1) / run_tiles;
    const auto run_of = [&](int64_t index) { return TileRun{index * run_tiles, std::min((index + 1) * run_tiles, tiles)}; };
    const int64_t next_run = run_tiles * (pool ? pool->threads() : 1);
    RunAdder adder(tiles_, length_, *kernels_);
    std::vector<size_t> added(static_cast<size_t>(runs));  // by each run: how many of the messages
    std::atomic<bool> exhausted{false};
    run_tasks(pool, runs, [&](int64_t index, int) {
      for (size_t g = 0; g + 1 < groups.size(); ++g) {
        const std::span<OpenMessage> group = all.subspan(groups[g], groups[g + 1] - groups[g]);
        const bool last = g + 2 == groups.size();
        const Upcoming upcoming = last ? Upcoming(all, next_run, length_) : Upcoming(all.subspan(groups[g + 1]), 0, length_);
        const RunAdder::Added result = adder.add(group, upcoming, run_of(index));
        added[static_cast<size_t>(index)] += result.messages;
        if (result.exhausted) exhausted = true;
        if (result.messages < group.size()) break;
      }
    });
    try {
      if (exhausted) fail(Code::E_MEMORY, "no memory for the exact sums of %lld elements", static_cast<long long>(length_));
      for (const OpenMessage& message : opened) message.reader.finish_check();
    } catch (const Error&) {
      for (int64_t index = 0; index < runs; ++index)
        for (const OpenMessage& message : all.first(added[static_cast<size_t>(index)])) adder.take_back(message, run_of(index));
      throw;
    }
    for (const OpenMessage& message : opened) weight_.add(message.weight);
    received_ += static_cast<int64_t>(opened.size());
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to add %zu updates of %lld elements", messages.size(), static_cast<long long>(length_));
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
  run_tasks(pool, (tiles + run_tiles - 1) / run_tiles, [&](int64_t task, int) {
    for (int64_t tile = task * run_tiles; tile < std::min((task + 1) * run_tiles, tiles); ++tile)
      tiles_[static_cast<size_t>(tile)].mean(total, out.data() + tile * update_tile, *kernels_);
  });
}

void Aggregator::reset() {
  for (TileSum& tile : tiles_) tile.reset();
  weight_ = {};
  received_ = 0;
}

}  // namespace fedlora
