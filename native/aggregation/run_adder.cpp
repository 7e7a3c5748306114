#include "aggregation/run_adder.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

bool adds_together(Codec codec, const SumKernels& kernels) {
  return (codec == Codec::f32 && kernels.add_checked_f32) || (codec == Codec::bf16 && kernels.add_checked_bf16) ||
         (codec == Codec::int8 && kernels.add_codes_together);
}

RunAdder::Added RunAdder::add(std::span<OpenMessage> group, const Upcoming& upcoming, TileRun run) {
  const Codec codec = group.front().codec();
  if (run.end * update_tile <= length_ && adds_together(codec, kernels_) &&
      (codec == Codec::int8 ? add_codes(group, upcoming, run) : add_floats(group, upcoming, run)))
    return {group.size()};
  Loads loads;
  Added added;
  for (OpenMessage& message : group) {
    const Readiness readiness = prepare({&message, 1}, run, loads);
    added.exhausted = readiness == Readiness::exhausted;
    if (readiness != Readiness::ready) break;
    add_values(message, run, message.weight);
    ++added.messages;
  }
  return added;
}

/// Checks the group's tiles and makes the sums fit for them; `loads` of each tile of the run. The sums do not change.
RunAdder::Readiness RunAdder::prepare(std::span<OpenMessage> group, TileRun run, Loads& loads) {
  for (OpenMessage& message : group)
    if (!message.reader.check_tiles(run.first, run.end)) return Readiness::not_finite;
  try {
    for (int64_t tile = run.first; tile < run.end; ++tile) {
      TileLoad& load = loads[static_cast<size_t>(tile - run.first)] = {};
      for (const OpenMessage& message : group) {
        const TileRange range = message.reader.tile_range(tile);
        load.include(static_cast<double>(range.largest) * message.weight, range.lowest_bit + message.weight_bit);
      }
      sum(tile).prepare(load);
    }
  } catch (const Error&) {  // E_MEMORY is all that it throws; it must not leave a task of a pool
    return Readiness::exhausted;
  }
  return Readiness::ready;
}

/// f32 or bf16. False, and nothing is added, when the run must be added message by message.
bool RunAdder::add_floats(std::span<OpenMessage> group, const Upcoming& upcoming, TileRun run) {
  const Codec codec = group.front().codec();
  const int64_t ahead = codec == Codec::f32 ? 1 : 2;  // tiles: 8 KiB are on their way while as many are added
  FloatTiles messages;
  messages.mantissa_bits = codec == Codec::f32 ? 23 : 7;
  messages.count = static_cast<int>(group.size());
  for (size_t k = 0; k < group.size(); ++k) messages.weight[k] = group[k].weight, messages.weight_bit[k] = group[k].weight_bit;
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    for (size_t k = 0; k < group.size(); ++k) {
      UpdateReader& reader = group[k].reader;
      const uint8_t* bytes = reader.tile_bytes(tile);
      const Upcoming::Place next = upcoming.after(group[k], k, run, tile, ahead);
      messages.tile[k] = {bytes, next.reader ? next.reader->tile_bytes(next.tile) : bytes, 0, reader.tile_checksums(tile)};
    }
    if (sum(tile).empty()) {  // a first guess of the sum's range from one of the messages
      const TileRange range = group.front().reader.measure_tile(tile);
      if (std::isfinite(range.largest)) sum(tile).expect(messages.load(range));
    }
    if (sum(tile).add_checked(messages, kernels_)) continue;
    Loads loads;
    const bool ready = prepare(group, {tile, tile + 1}, loads) == Readiness::ready;
    for (const OpenMessage& message : group) {
      if (ready)
        add_values(message, {tile, tile + 1}, message.weight);
      else
        take_back(message, {run.first, tile});
    }
    if (!ready) return false;
  }
  return true;
}

/// int8. False, and nothing is added, when the run must be added message by message.
bool RunAdder::add_codes(std::span<OpenMessage> group, const Upcoming& upcoming, TileRun run) {
  Loads loads;
  if (prepare(group, run, loads) != Readiness::ready) return false;
  CodeTiles messages;
  messages.count = static_cast<int>(group.size());
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    for (size_t k = 0; k < group.size(); ++k) {
      const UpdateReader& reader = group[k].reader;
      const int8_t* codes = reader.codes(tile * update_tile, update_tile, nullptr);
      const Upcoming::Place next = upcoming.after(group[k], k, run, tile, run.end - run.first);
      messages.tile[k] = {codes, next.reader ? next.reader->codes(next.tile * update_tile, update_tile, nullptr) : codes, nullptr};
      messages.weight[k] = group[k].weight;
      reader.scales(tile * update_tile / update_block, update_tile / update_block, messages.scales[k]);
    }
    if (sum(tile).add_together(messages, loads[static_cast<size_t>(tile - run.first)], kernels_)) continue;
    for (const OpenMessage& message : group) add_values(message, {tile, tile + 1}, message.weight);
  }
  return true;
}

/// values · weight; prepare() came before.
void RunAdder::add_values(const OpenMessage& message, TileRun run, double weight) {
  alignas(64) float scratch[update_tile];
  const UpdateReader& reader = message.reader;
  int64_t entry = reader.sparse() ? reader.first_entry(run.first * update_tile) : 0;
  for (int64_t tile = run.first; tile < run.end; ++tile) {
    const int64_t first = tile * update_tile, count = std::min(update_tile, length_ - first);
    if (reader.coded()) {
      alignas(64) int8_t codes[update_tile + 1];
      float scales[update_tile / update_block];
      reader.scales(first / update_block, block_count(count), scales);
      sum(tile).add_codes(reader.codes(first, count, codes), scales, weight, kernels_);
      continue;
    }
    if (!reader.sparse()) {
      sum(tile).add(reader.values(first, count, scratch), weight, kernels_);
      continue;
    }
    const int64_t end = reader.end_entry(entry, first + count);
    reader.entry_values(entry, end - entry, scratch);
    sum(tile).add_entries(reader.positions() + entry, first, scratch, end - entry, weight);
    entry = end;
  }
}

}  // namespace fedlora
