#include "engine/needed_tensors.h"

namespace fedlora {

NeededTensors needed_tensors(const Description& d) {
  NeededTensors needed;
  const auto plain = [&](const std::string& name, std::vector<int64_t> shape) { needed.plain.emplace_back(name, std::move(shape)); };
  plain(d.embedding + ".weight", {d.vocabulary, d.hidden});
  if (!d.tied_head) plain(d.head + ".weight", {d.vocabulary, d.hidden});
  plain(d.final_norm + ".weight", {d.hidden});
  for (const LayerDescription& layer : d.layers) {
    plain(layer.input_norm + ".weight", {d.hidden});
    plain(layer.mlp_input_norm + ".weight", {d.hidden});
    if (d.query_key_norm == QueryKeyNorm::head) {
      plain(layer.q_norm + ".weight", {d.head_dim});
      plain(layer.k_norm + ".weight", {d.head_dim});
    }
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      needed.linears.emplace_back(layer.linear[linear] + ".weight", std::vector<int64_t>{d.out_features(linear), d.in_features(linear)});
      if (layer.has_bias(linear)) plain(layer.linear[linear] + ".bias", {d.out_features(linear)});
    }
  }
  return needed;
}

}  // namespace fedlora
