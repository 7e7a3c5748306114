#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "base/philox.h"
#include "model/tensor_list.h"

namespace fedlora {

AdapterMap::AdapterMap(const Description& description, const std::vector<AdapterLayer>& layers) {
  std::unordered_map<std::string, const AdapterLayer*> wanted;
  for (const AdapterLayer& layer : layers) {
    if (layer.rank < 1 || layer.rank > most_rank)
      fail(Code::E_ARGUMENT, "the rank of %s is %d, expected 1 to %d", layer.module.c_str(), layer.rank, most_rank);
    if (!(layer.dropout >= 0 && layer.dropout < 1))
      fail(Code::E_ARGUMENT, "the dropout of %s is %g, expected 0 or more and less than 1", layer.module.c_str(), layer.dropout);
    if (!std::isfinite(layer.scaling)) fail(Code::E_ARGUMENT, "the scaling of %s is not finite", layer.module.c_str());
    if (!wanted.emplace(layer.module, &layer).second) fail(Code::E_ARGUMENT, "%s is adapted twice", layer.module.c_str());
  }
  slots_.resize(description.layers.size() * linears_per_layer);
  const auto add = [&](const std::string& module, Part part, int64_t rows, int64_t columns) {
    layout_.push_back({"base_model.model." + module + "." + part_name[static_cast<int>(part)] + ".weight", part, rows, columns, size_});
    size_ += rows * columns;
    return layout_.back().offset;
  };
  for (const ModelTensor& tensor : list_linears(description)) {
    const auto entry = wanted.find(tensor.module);
    if (entry == wanted.end()) continue;
    const AdapterLayer& layer = *entry->second;
    AdapterSlot& slot = slots_[static_cast<size_t>(tensor.layer * linears_per_layer + tensor.place)];
    slot = {layer.rank, layer.scaling, layer.dropout};
    slot.A = add(tensor.module, Part::lora_A, layer.rank, tensor.K);
    slot.B = add(tensor.module, Part::lora_B, tensor.N, layer.rank);
    slot.end = size_;
    wanted.erase(entry);
  }
  if (!wanted.empty())
    fail(Code::E_MISSING, "%s (and %zu more) is not a linear layer of this model; %zu of the adapted layers are",
         wanted.begin()->first.c_str(), wanted.size() - 1, layout_.size() / 2);
}

void Adapter::initialize(uint64_t seed) {
  values.zero();
  for (size_t i = 0; i < slots_.size(); ++i) {
    const AdapterSlot& slot = slots_[i];
    if (slot.rank == 0) continue;
    const int64_t count = slot.B - slot.A;
    const float bound = 1.0f / std::sqrt(static_cast<float>(count / slot.rank));
    const Philox draw{seed, i};
    edit(values, static_cast<size_t>(slot.A), static_cast<size_t>(slot.B), [&](std::span<float> A) {
      for (size_t j = 0; j < A.size(); ++j) {
        const float u = uniform_f32(draw(j / 4)[j % 4]);
        A[j] = bound * (2.0f * u - 1.0f);
      }
    });
  }
}

void Adapter::write(std::span<const float> given) {
  if (given.size() != values.size()) fail(Code::E_SHAPE, "%zu values for an adapter of %zu", given.size(), values.size());
  for (size_t i = 0; i < given.size(); ++i)
    if (!std::isfinite(given[i])) fail(Code::E_NONFINITE, "value %zu of the adapter is not finite; nothing was written", i);
  values.upload(given);
  ++version;
}

}  // namespace fedlora
