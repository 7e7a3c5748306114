#include "engine/model_tensors.h"

#include "base/error.h"
#include "io/bnb_checkpoint.h"
#include "io/gguf.h"
#include "io/packed_checkpoint.h"
#include "io/plain_tensor.h"
#include "io/renamed.h"
#include "io/safetensors.h"
#include "io/transposed.h"
#include "model/adapter.h"
#include "model/tensor_list.h"

namespace fedlora {

namespace {

/// What follows from the config: rotary frequencies and causal masks that old checkpoints keep as buffers (GPT-2, GPT-NeoX), and GGUF's
/// tables of factors.
bool is_derived(const std::string& name) {
  for (const char* buffer : {"rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"})
    if (name.ends_with(buffer)) return true;
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

/// Tables are looked up and multiplied as numbers; codes are not.
void refuse_quantized_table(const TensorSource& source, const std::string& module) {
  const std::string name = module + ".weight";
  const std::optional<Format> format = bnb_format(source, name);
  if (!format) return;
  fail(Code::E_UNSUPPORTED,
       "%s is stored as bitsandbytes codes (%s); the embedding and the head are read unquantised only. Quantise the original checkpoint "
       "anew with llm_int8_skip_modules [\"%s\"], which is transformers' default, or with `fedlora quantize`.",
       name.c_str(), format_name(*format), module.c_str());
}

}  // namespace

ModelTensors::ModelTensors(const std::vector<std::string>& files, const Description& d, const std::vector<StoredTensor>& stored,
                           const PackedWeights& packed)
    : prefix_(d.embedding.substr(0, d.embedding.find('.') + 1)), text_prefixes_(d.text_prefixes) {
  const std::string embedding = d.embedding + ".weight", head = d.head + ".weight";
  for (const ModelTensor& tensor : list_tensors(d)) needed_.insert(tensor.name());
  needed_.insert(head);
  if (!files.empty() && is_gguf(files[0])) {
    checkpoint_ = std::make_unique<RenamedTensors>(std::make_unique<GgufTensors>(files), stored);
  } else {
    checkpoint_ = std::make_unique<Checkpoint>(files);
    if (d.transposed_linears) {
      if (packed.packing == Packing::fp8) fail(Code::E_UNSUPPORTED, "FP8 weights of transposed linear layers are not read");
      checkpoint_ = std::make_unique<TransposedTensors>(std::move(checkpoint_), stored_transposed(*checkpoint_, d));
    }
    checkpoint_ = std::make_unique<PackedCheckpoint>(std::move(checkpoint_), packed);
  }
  for (const std::string& name : checkpoint_->names()) {
    const std::string means = meaning(name);
    const auto [place, fresh] = stored_.try_emplace(means, name);
    if (!fresh)
      fail(Code::E_FORMAT, "tensors \"%s\" and \"%s\" of the checkpoint both stand for %s. Remove the one that is left over.",
           place->second.c_str(), name.c_str(), means.c_str());
    names_.push_back(means);
  }
  refuse_quantized_table(*this, d.head);
  refuse_quantized_table(*this, d.embedding);
  if (!d.tied_head) return;
  if (!has(embedding) && has(head)) stored_[embedding] = stored_[head];
  tied_head_ = !has(embedding) || !has(head) || same_values(*this, embedding, head);
}

/// True for a tensor of the description and for the parts that bitsandbytes stores beside a weight.
bool ModelTensors::known(const std::string& name) const {
  if (needed_.count(name) != 0) return true;
  const std::string weight = bnb_weight_of(name);
  return !weight.empty() && needed_.count(weight) != 0;
}

std::string ModelTensors::meaning(const std::string& name) const {
  for (const std::string& before : text_prefixes_) {
    if (!name.starts_with(before)) continue;
    const std::string inside = text_meaning(name.substr(before.size()));
    if (known(inside)) return inside;
  }
  return text_meaning(name);
}

std::string ModelTensors::text_meaning(const std::string& name) const {
  if (name.starts_with(prefix_)) {
    const std::string bare = name.substr(prefix_.size());
    if (known(bare)) return bare;
  }
  const std::string whole = prefix_ + name;
  return known(whole) ? whole : name;
}

/// Names of `source` that are linear weights [K,N].
std::unordered_set<std::string> ModelTensors::stored_transposed(const TensorSource& source, const Description& d) const {
  std::unordered_set<std::string> linears, transposed;
  for (const ModelTensor& linear : list_linears(d)) linears.insert(linear.name());
  for (const std::string& name : source.names())
    if (linears.count(meaning(name)) != 0 && !is_bnb_quantized(source, name)) transposed.insert(name);
  return transposed;
}

const std::string& ModelTensors::stored(const std::string& name) const {
  const auto found = stored_.find(name);
  return found == stored_.end() ? name : found->second;
}

std::vector<std::string> ModelTensors::unused() const {
  std::vector<std::string> unused;
  for (const std::string& name : names_)
    if (!known(name) && !is_derived(name)) unused.push_back(stored(name));
  return unused;
}

std::string ModelTensors::missing_hint(const std::vector<std::string>& missing, const Description& d) const {
  if (missing.size() == 1 && missing[0] == d.head + ".weight" && has(d.embedding + ".weight"))
    return "\nIf the head shares the embedding's table, say \"tie_word_embeddings\": true in config.json.";
  for (const std::string& name : names_) {
    if (name.ends_with(".qweight"))
      return format_text(
          "\nIt has \"%s\": packed weights of GPTQ or AWQ, of which config.json says nothing (quantization_config). Get it anew.",
          name.c_str());
    if (name.find(part_name[static_cast<int>(Part::lora_A)]) != std::string::npos)
      return format_text("\nIt has \"%s\": this is an adapter. Load its base model, then the adapter over it.", name.c_str());
    if (name.size() > missing[0].size() && name.ends_with(missing[0])) {
      const std::string before = name.substr(0, name.size() - missing[0].size());
      return format_text("\nIt has \"%s\": save the model anew without the prefix \"%s\".", name.c_str(), before.c_str());
    }
  }
  return "";
}

void ModelTensors::check(const Description& d) const {
  const std::vector<ModelTensor> needed = list_tensors(d);
  std::vector<std::string> missing;
  for (const ModelTensor& tensor : needed)
    if (!has(tensor.name())) missing.push_back(tensor.name());
  if (!missing.empty()) {
    std::string list;
    for (size_t i = 0; i < missing.size() && i < 12; ++i) list += "\n  " + missing[i];
    if (missing.size() > 12) list += format_text("\n  and %zu more", missing.size() - 12);
    fail(Code::E_MISSING, "the checkpoint lacks %zu tensors that config.json asks for (family %s):%s%s", missing.size(), d.family.c_str(),
         list.c_str(), missing_hint(missing, d).c_str());
  }
  for (const ModelTensor& tensor : needed) {
    const std::string name = tensor.name();
    if (tensor.role == TensorRole::linear && is_bnb_quantized(*this, name)) continue;  // flat codes
    const std::vector<int64_t> shape = describe(name).shape;
    if (shape != tensor.shape())
      fail(Code::E_SHAPE, "tensor %s is %s, expected %s by the model's config", name.c_str(), shape_text(shape).c_str(),
           shape_text(tensor.shape()).c_str());
  }
}

}  // namespace fedlora
