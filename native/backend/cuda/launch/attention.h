/// ops.def: attention_forward, attention_backward, attention_decode. head_dim at most most_head_dim. The tiles are those of
/// attention_tiles(offsets, attention_tile_rows(…)), on the device; M is the rows of all sequences.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/heuristics/attention_tiles.h"
#include "backend/cuda/launch/queue.h"
#include "backend/ops.h"

namespace fedlora::cuda {

/// Rows that a block owns, by shape and device.
int attention_tile_rows(const Queue& queue, const AttentionShape& shape, Element element);
void attention_forward(const Queue& queue, const AttentionShape& shape, int64_t tile_count, const AttentionTile* tiles, const void* q,
                       const void* k, const void* v, void* o, float* lse, Element element);
size_t attention_backward_workspace(int64_t M, const AttentionShape& shape, Element element);
void attention_backward(const Queue& queue, const AttentionShape& shape, int64_t M, int64_t tile_count, const AttentionTile* tiles,
                        const void* q, const void* k, const void* v, const void* o, const float* lse, const void* d_o, void* d_q, void* d_k,
                        void* d_v, Element element, void* workspace);
void attention_decode(const Queue& queue, const AttentionShape& shape, int64_t T, const void* q, const void* keys, const void* values,
                      void* o, Element element);

}  // namespace fedlora::cuda
