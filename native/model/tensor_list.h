/// The tensors of a model: which a description asks for, their names and shapes, and where each lives once it is loaded. The one place
/// that walks a description; everything that loads, plans, measures, makes, rewrites or adapts weights goes by this list.
#pragma once
#include <string>
#include <vector>

#include "model/weights.h"

namespace fedlora {

enum class TensorRole { embedding, head, final_norm, norm, linear, bias };

struct ModelTensor {
  TensorRole role = TensorRole::linear;
  int64_t layer = -1;  // of norm, linear and bias
  int place = -1;      // a BlockNorm, or the place of a linear layer (linear_group.h)
  std::string module;
  int64_t N = 0, K = 0;  // [N, K]; norms and biases are vectors [N] and have K = 0

  bool is_matrix() const { return K > 0; }
  /// As checkpoints name it: <module>.weight or <module>.bias.
  std::string name() const { return module + (role == TensorRole::bias ? ".bias" : ".weight"); }
  std::vector<int64_t> shape() const { return is_matrix() ? std::vector<int64_t>{N, K} : std::vector<int64_t>{N}; }
};

/// In the order of loading: the tables, the final norm, then block by block norms and linear layers, each before its bias.
/// With a tied head there is no head.
std::vector<ModelTensor> list_tensors(const Description& description);
/// The linear layers alone: what can be quantised and adapted.
std::vector<ModelTensor> list_linears(const Description& description);

/// Where a matrix of the list lives; `layers` has its size.
template <class AnyWeights>
auto& matrix_of(AnyWeights& weights, const ModelTensor& tensor) {
  if (tensor.role == TensorRole::embedding) return weights.embedding;
  if (tensor.role == TensorRole::head) return weights.head;
  return weights.layers[static_cast<size_t>(tensor.layer)].linear[tensor.place];
}

/// Where a norm or bias lives.
template <class AnyWeights>
auto& vector_of(AnyWeights& weights, const ModelTensor& tensor) {
  if (tensor.role == TensorRole::final_norm) return weights.final_norm.weight;
  auto& layer = weights.layers[static_cast<size_t>(tensor.layer)];
  return tensor.role == TensorRole::norm ? layer.norm[tensor.place].weight : layer.bias[tensor.place];
}

}  // namespace fedlora
