#include "model/pass.h"

namespace fedlora {

namespace {
StepShape shape_of(const Weights& weights, const Backend& backend, const Batch& batch, std::span<const AdapterSegment> segments,
                   const PassOptions& options) {
  StepShape shape;
  shape.tokens = batch.tokens();
  shape.supervised = options.cache != nullptr ? 1 : static_cast<int64_t>(batch.supervised.size());
  shape.training = options.training;
  shape.recompute = options.recompute;
  shape.compute = backend.compute();
  shape.ranks = largest_ranks(segments, static_cast<int64_t>(weights.layers.size()));
  return shape;
}

StepBuffers place(const Description& description, const StepShape& shape, Arena& arena, const Batch& batch, KvCache* cache) {
  const size_t bytes = StepBuffers::place(description, shape, nullptr).total_bytes;
  StepBuffers buffers = StepBuffers::place(description, shape, arena.reserve(bytes));
  if (cache == nullptr) return buffers;
  for (size_t l = 0; l < buffers.blocks.size(); ++l) {  // keys and values are written where they stay
    buffers.blocks[l].k = cache->key(static_cast<int64_t>(l), batch.positions.front());
    buffers.blocks[l].v = cache->value(static_cast<int64_t>(l), batch.positions.front());
  }
  return buffers;
}
/// Empty where they are the positions. One row of a generation counts as the last of its sequence.
std::vector<int32_t> table_rows(const RopeTable& table, const Batch& batch) {
  std::vector<int32_t> rows;
  for (size_t sequence = 0; sequence + 1 < batch.offsets.size(); ++sequence) {
    const auto begin = static_cast<size_t>(batch.offsets[sequence]), end = static_cast<size_t>(batch.offsets[sequence + 1]);
    const int32_t first = table.first_row(batch.positions[end - 1] + 1);
    if (first == 0) continue;
    if (rows.empty()) rows = batch.positions;
    for (size_t m = begin; m < end; ++m) rows[m] += first;
  }
  return rows;
}
}  // namespace

Pass::Pass(const Weights& weights, Backend& backend, Workspace& workspace, const Batch& batch, std::span<const AdapterSegment> segments,
           const PassOptions& options)
    : weights(weights),
      backend(backend),
      workspace(workspace),
      batch(batch),
      cache(options.cache),
      rows(options.rows),
      segments(segments.begin(), segments.end()),
      shape(shape_of(weights, backend, batch, segments, options)),
      buffers(place(weights.description, shape, workspace.arena, batch, cache)),
      pairs(segments, weights.description, shape.training) {
  for (RopeTable& table : workspace.ropes) {
    table.reserve(cache != nullptr ? cache->capacity() : batch.longest);
    rope_rows.push_back(table_rows(table, batch));
  }
}

void Pass::check_cancelled() const {
  if (workspace.cancel != nullptr && workspace.cancel->load(std::memory_order_relaxed)) throw Cancelled{};
}

}  // namespace fedlora
