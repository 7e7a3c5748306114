/// The frozen weights of one model in the memory of the backend that multiplies them. Immutable once loaded; shared by every adapter and
/// session.
#pragma once
#include <vector>

#include "backend/memory.h"
#include "model/description.h"
#include "quant/matrix.h"

namespace fedlora {

struct LayerWeights {
  Buffer<float> input_norm, mlp_norm;     // [hidden]
  Buffer<float> q_norm, k_norm;           // [head_dim] or empty
  Matrix linear[linears_per_layer];       // [N,K]
  Buffer<float> bias[linears_per_layer];  // [N] or empty
};

struct Weights {
  Description description;
  Matrix embedding;  // [V, hidden]
  Matrix head;       // [V, hidden]; empty when tied
  Buffer<float> final_norm;
  std::vector<LayerWeights> layers;

  const Matrix& output_head() const { return description.tied_head ? embedding : head; }
};

}  // namespace fedlora
