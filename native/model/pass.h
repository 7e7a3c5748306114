/// One pass over the blocks, forward alone or with its backward: its rows, its buffers, who adapts which of them. A value on the stack of
/// whoever runs it; what a pass leaves behind when it ends, or fails, is memory to be used again.
#pragma once
#include "model/batch.h"
#include "model/kv_cache.h"
#include "model/pair_table.h"
#include "model/step_buffers.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace fedlora {

/// Thrown by a pass whose cancel flag was raised; caught by `training`.
struct Cancelled {};

/// Whether a pass has many rows, or is one row of a generation, for which backends have operators of their own.
enum class Rows { many, one };

struct PassOptions {
  bool training = false;  // backward follows
  Recompute recompute = Recompute::none;
  KvCache* cache = nullptr;  // takes the keys and values of the rows, at their positions
  Rows rows = Rows::many;    // one: with a cache, whose rows before it are attended
};

struct Pass {
  /// Places the buffers in the workspace's arena, where nothing else may lie until the pass ends.
  Pass(const Weights& weights, Backend& backend, Workspace& workspace, const Batch& batch, std::span<const AdapterSegment> segments,
       const PassOptions& options);

  const Weights& weights;
  Backend& backend;
  const Workspace& workspace;
  const Batch& batch;
  KvCache* const cache;  // or null
  const Rows rows;
  const std::vector<AdapterSegment> segments;
  const StepShape shape;
  const StepBuffers buffers;
  const PairTable pairs;
  std::vector<std::vector<int32_t>> rope_rows;  // of each rope whose rows are not the positions: rows of its table; empty otherwise

  const Description& description() const { return weights.description; }
  int64_t M() const { return batch.tokens(); }
  int64_t layers() const { return static_cast<int64_t>(weights.layers.size()); }
  const BlockSpec& block_spec(int64_t index) const { return description().layers[static_cast<size_t>(index)]; }
  const LayerWeights& layer(int64_t index) const { return weights.layers[static_cast<size_t>(index)]; }
  /// The rows of a rope's table that the rows of the pass take.   [M]
  std::span<const int32_t> rows_of_rope(int rope) const {
    const std::vector<int32_t>& own = rope_rows[static_cast<size_t>(rope)];
    return own.empty() ? std::span<const int32_t>(batch.positions) : std::span<const int32_t>(own);
  }
  const SavedBlock& block(int64_t index) const { return buffers.blocks[static_cast<size_t>(index)]; }

  /// Throws Cancelled when the flag is raised.
  void check_cancelled() const;
};

}  // namespace fedlora
