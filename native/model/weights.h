/// The frozen weights of one model in their packed form. Immutable once loaded; shared by every adapter and session.
#pragma once
#include <vector>

#include "model/description.h"
#include "quant/matrix.h"

namespace fedlora {

struct LayerWeights {
  std::vector<float> input_norm, mlp_norm;     // [hidden]
  std::vector<float> q_norm, k_norm;           // [head_dim] or empty
  Matrix linear[linears_per_layer];            // [N,K]
  std::vector<float> bias[linears_per_layer];  // [N] or empty
};

struct Weights {
  Description description;
  Matrix embedding;  // [V, hidden]
  Matrix head;       // [V, hidden]; empty when tied
  std::vector<float> final_norm;
  std::vector<LayerWeights> layers;

  const Matrix& output_head() const { return description.tied_head ? embedding : head; }
};

}  // namespace fedlora
