#include "model/tensor_list.h"

namespace fedlora {

std::vector<ModelTensor> list_tensors(const Description& d) {
  std::vector<ModelTensor> list;
  list.push_back({TensorRole::embedding, -1, -1, d.embedding, d.vocabulary, d.hidden});
  if (!d.tied_head) list.push_back({TensorRole::head, -1, -1, d.head, d.vocabulary, d.hidden});
  list.push_back({TensorRole::final_norm, -1, -1, d.final_norm, d.hidden});
  for (size_t l = 0; l < d.layers.size(); ++l) {
    const LayerDescription& layer = d.layers[l];
    const int64_t index = static_cast<int64_t>(l);
    list.push_back({TensorRole::input_norm, index, -1, layer.input_norm, d.hidden});
    list.push_back({TensorRole::mlp_norm, index, -1, layer.mlp_input_norm, d.hidden});
    if (d.query_key_norm == QueryKeyNorm::head) {
      list.push_back({TensorRole::q_norm, index, -1, layer.q_norm, d.head_dim});
      list.push_back({TensorRole::k_norm, index, -1, layer.k_norm, d.head_dim});
    }
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      const int64_t N = d.out_features(linear), K = d.in_features(linear);
      list.push_back({TensorRole::linear, index, linear, layer.linear[linear], N, K});
      if (layer.has_bias(linear)) list.push_back({TensorRole::bias, index, linear, layer.linear[linear], N});
    }
  }
  return list;
}

std::vector<ModelTensor> list_linears(const Description& description) {
  std::vector<ModelTensor> list = list_tensors(description);
  std::erase_if(list, [](const ModelTensor& tensor) { return tensor.role != TensorRole::linear; });
  return list;
}

}  // namespace fedlora
