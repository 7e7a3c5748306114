/// The frozen weights of one model in the memory of the backend that multiplies them. Immutable once loaded; shared by every adapter and
/// session.
#pragma once
#include <vector>

#include "backend/memory.h"
#include "model/description.h"
#include "quant/matrix.h"

namespace fedlora {

struct NormWeights {
  Buffer<float> weight;  // [width]; empty: absent
  Buffer<float> bias;    // of LayerNorm
};

/// The norms of a block, as BlockSpec and AttentionSpec name them.
enum BlockNorm { before_attention, after_attention, before_mlp, after_mlp, q_norm, k_norm, norms_per_layer };

struct LayerWeights {
  NormWeights norm[norms_per_layer];
  Matrix linear[linears_per_layer];       // [N,K] by place
  Buffer<float> bias[linears_per_layer];  // [N] or empty
};

struct Weights {
  Description description;
  Matrix embedding;  // [V, hidden]
  Matrix positions;  // [position_offset + max_positions, hidden]; empty: none
  Matrix head;       // [V, hidden]; empty when tied
  Buffer<float> head_bias;
  NormWeights embedding_norm, final_norm;
  std::vector<LayerWeights> layers;

  const Matrix& output_head() const { return description.tied_head ? embedding : head; }
};

}  // namespace fedlora
