/// Attention in bf16 on tensor cores: what attention.h does, where fits_tensor_cores.
#pragma once
#include "backend/cuda/launch/attention.h"

namespace fedlora::cuda {

/// Of the workspace: what backward keeps for each query and head.
size_t attention_row_terms_bytes(int64_t M, int heads);
bool fits_tensor_cores(const AttentionShape& shape, Element element);

void attention_tensor_forward(const Queue& queue, const AttentionShape& shape, int64_t tile_count, const AttentionTile* tiles,
                              const void* q, const void* k, const void* v, void* o, float* lse);
void attention_tensor_backward(const Queue& queue, const AttentionShape& shape, int64_t M, int64_t tile_count, const AttentionTile* tiles,
                               const void* q, const void* k, const void* v, const void* o, const float* lse, const void* d_o, void* d_q,
                               void* d_k, void* d_v, void* workspace);

}  // namespace fedlora::cuda
