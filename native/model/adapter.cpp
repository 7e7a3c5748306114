#include "model/adapter.h"

#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "base/philox.h"

namespace fedlora {

AdapterMap::AdapterMap(const Description& description, const std::vector<AdapterLayer>& layers) {
  std::unordered_map<std::string, const AdapterLayer*> wanted;
  for (const AdapterLayer& layer : layers) {
    if (layer.rank < 1 || layer.rank > 4096)
      fail(Code::E_ARGUMENT, "the rank of %s is %d, expected 1 to 4096", layer.module.c_str(), layer.rank);
    if (!(layer.dropout >= 0 && layer.dropout < 1))
      fail(Code::E_ARGUMENT, "the dropout of %s is %g, expected 0 or more and less than 1", layer.module.c_str(), layer.dropout);
    if (!std::isfinite(layer.scaling)) fail(Code::E_ARGUMENT, "the scaling of %s is not finite", layer.module.c_str());
    if (!wanted.emplace(layer.module, &layer).second) fail(Code::E_ARGUMENT, "%s is adapted twice", layer.module.c_str());
  }
  slots_.resize(description.layers.size() * linears_per_layer);
  int64_t offset = 0;
  size_t found = 0;
  for (size_t l = 0; l < description.layers.size(); ++l) {
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      const std::string& module = description.layers[l].linear[linear];
      const auto entry = wanted.find(module);
      if (entry == wanted.end()) continue;
      ++found;
      const AdapterLayer& layer = *entry->second;
      const int64_t N = description.out_features(linear), K = description.in_features(linear), R = layer.rank;
      slots_[l * linears_per_layer + static_cast<size_t>(linear)] = {layer.rank, layer.scaling, layer.dropout, offset, offset + R * K};
      layout_.push_back({"base_model.model." + module + ".lora_A.weight", R, K, offset});
      layout_.push_back({"base_model.model." + module + ".lora_B.weight", N, R, offset + R * K});
      offset += R * (K + N);
      wanted.erase(entry);
    }
  }
  if (!wanted.empty())
    fail(Code::E_MISSING, "%s (and %zu more) is not a linear layer of this model; %zu of the adapted layers are",
         wanted.begin()->first.c_str(), wanted.size() - 1, found);
  size_ = offset;
}

void Adapter::initialize(uint64_t seed) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const AdapterSlot& slot = slots_[i];
    if (slot.rank == 0) continue;
    const int64_t count = slot.B - slot.A;
    const float bound = 1.0f / std::sqrt(static_cast<float>(count / slot.rank));
    const Philox draw{seed, i};
    for (int64_t j = 0; j < count; ++j) {
      const float u = uniform_f32(draw(static_cast<uint64_t>(j / 4))[static_cast<size_t>(j % 4)]);
      values[static_cast<size_t>(slot.A + j)] = bound * (2.0f * u - 1.0f);
    }
  }
  for (size_t i = 1; i < layout_.size(); i += 2)
    for (int64_t j = 0; j < layout_[i].rows * layout_[i].columns; ++j) values[static_cast<size_t>(layout_[i].offset + j)] = 0;
}

}  // namespace fedlora
