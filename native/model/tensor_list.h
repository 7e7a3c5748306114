/// The tensors of a model: which a description asks for, their names and shapes, and where each lives once it is loaded. The one place
/// that walks a description; everything that loads, plans, measures, makes, rewrites or adapts weights goes by this list.
#pragma once
#include <string>
#include <vector>

#include "model/weights.h"

namespace fedlora {

/// `bias` is that of a linear layer; it and what follows it are named "<module>.bias".
enum class TensorRole {
  embedding,
  positions,
  head,
  embedding_norm,
  final_norm,
  norm,
  linear,
  bias,
  norm_bias,
  embedding_norm_bias,
  final_norm_bias,
  head_bias
};

struct ModelTensor {
  TensorRole role = TensorRole::linear;
  int64_t layer = -1;  // of norm, linear and their biases
  int place = -1;      // a BlockNorm, or the place of a linear layer (linear_group.h)
  std::string module;
  int64_t N = 0, K = 0;  // [N, K]; norms and biases are vectors [N] and have K = 0

  bool is_matrix() const { return K > 0; }
  bool is_bias() const { return role >= TensorRole::bias; }
  /// As checkpoints name it: <module>.weight or <module>.bias.
  std::string name() const { return module + (is_bias() ? ".bias" : ".weight"); }
  std::vector<int64_t> shape() const { return is_matrix() ? std::vector<int64_t>{N, K} : std::vector<int64_t>{N}; }
};

/// In the order of loading: the tables, the norms outside of blocks, then block by block norms and linear layers, each before its bias.
/// With a tied head there is no head.
std::vector<ModelTensor> list_tensors(const Description& description);
/// The linear layers alone: what can be quantised and adapted.
std::vector<ModelTensor> list_linears(const Description& description);

/// Where a matrix of the list lives; `layers` has its size.
template <class AnyWeights>
auto& matrix_of(AnyWeights& weights, const ModelTensor& tensor) {
  if (tensor.role == TensorRole::embedding) return weights.embedding;
  if (tensor.role == TensorRole::positions) return weights.positions;
  if (tensor.role == TensorRole::head) return weights.head;
  return weights.layers[static_cast<size_t>(tensor.layer)].linear[tensor.place];
}

/// Where a norm or bias lives.
template <class AnyWeights>
auto& vector_of(AnyWeights& weights, const ModelTensor& tensor) {
  if (tensor.role == TensorRole::embedding_norm) return weights.embedding_norm.weight;
  if (tensor.role == TensorRole::embedding_norm_bias) return weights.embedding_norm.bias;
  if (tensor.role == TensorRole::final_norm) return weights.final_norm.weight;
  if (tensor.role == TensorRole::final_norm_bias) return weights.final_norm.bias;
  if (tensor.role == TensorRole::head_bias) return weights.head_bias;
  auto& layer = weights.layers[static_cast<size_t>(tensor.layer)];
  if (tensor.role == TensorRole::norm) return layer.norm[tensor.place].weight;
  return tensor.role == TensorRole::norm_bias ? layer.norm[tensor.place].bias : layer.bias[tensor.place];
}

}  // namespace fedlora
