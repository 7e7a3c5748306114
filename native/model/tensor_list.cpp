#include "model/tensor_list.h"

namespace fedlora {

std::vector<ModelTensor> list_tensors(const Description& d) {
  std::vector<ModelTensor> list;
  list.push_back({TensorRole::embedding, -1, -1, d.embedding, d.vocabulary, d.hidden});
  if (!d.positions.empty()) list.push_back({TensorRole::positions, -1, -1, d.positions, d.position_offset + d.max_positions, d.hidden});
  if (!d.tied_head) list.push_back({TensorRole::head, -1, -1, d.head, d.vocabulary, d.hidden});
  if (d.head_bias) list.push_back({TensorRole::head_bias, -1, -1, d.head, d.vocabulary});
  const bool biased = d.norm == NormKind::layer;
  if (!d.embedding_norm.empty()) {
    list.push_back({TensorRole::embedding_norm, -1, -1, d.embedding_norm, d.hidden});
    if (biased) list.push_back({TensorRole::embedding_norm_bias, -1, -1, d.embedding_norm, d.hidden});
  }
  list.push_back({TensorRole::final_norm, -1, -1, d.final_norm, d.hidden});
  if (biased) list.push_back({TensorRole::final_norm_bias, -1, -1, d.final_norm, d.hidden});
  for (size_t l = 0; l < d.layers.size(); ++l) {
    const BlockSpec& block = d.layers[l];
    const int64_t index = static_cast<int64_t>(l);
    const std::pair<BlockNorm, const NormSpec&> norms[] = {{before_attention, block.before_attention},
                                                           {after_attention, block.after_attention},
                                                           {before_mlp, block.before_mlp},
                                                           {after_mlp, block.after_mlp},
                                                           {q_norm, block.attention.q_norm},
                                                           {k_norm, block.attention.k_norm}};
    for (const auto& [place, norm] : norms) {
      if (!norm.present()) continue;
      list.push_back({TensorRole::norm, index, place, norm.module, norm.width});
      if (biased) list.push_back({TensorRole::norm_bias, index, place, norm.module, norm.width});
    }
    for (int place = 0; place < linears_per_layer; ++place) {
      const LinearSpec& linear = block.linear(place);
      if (!linear.present()) continue;
      list.push_back({TensorRole::linear, index, place, linear.module, linear.N, linear.K});
      if (linear.bias) list.push_back({TensorRole::bias, index, place, linear.module, linear.N});
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
