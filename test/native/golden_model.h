/// The small golden checkpoints: config.json → Description, inputs and expected tensors.
#pragma once
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "io/json.h"
#include "io/safetensors.h"
#include "json_description.h"
#include "llama_block.h"
#include "model/transformer.h"
#include "io/plain_tensor.h"
#include "model/tensor_list.h"

namespace fedlora {

inline std::string golden_path(const std::string& family, const char* file) {
  return std::string(FEDLORA_GOLDEN) + "/models/" + family + "/" + file;
}

/// Only what the golden folders need: the public reading of config.json lives in TypeScript. Some keep what it gave.
inline Description golden_description(const std::string& family) {
  const std::string described = golden_path(family, "description.json");
  if (std::ifstream(described).good()) return JsonDescription(described).description();
  std::ifstream stream(golden_path(family, "config.json"));
  std::stringstream text;
  text << stream.rdbuf();
  const Json config = parse_json(text.str(), family);
  const auto number = [&](const char* key, double otherwise) {
    const Json* value = config.find(key);
    return value && value->is(Json::Kind::number) ? value->as_double(key) : otherwise;
  };
  const std::string type = config.find("model_type")->as_string("model_type");
  Description d;
  d.family = type;
  d.vocabulary = static_cast<int64_t>(number("vocab_size", 0));
  d.hidden = static_cast<int64_t>(number("hidden_size", 0));
  d.intermediate = static_cast<int64_t>(number("intermediate_size", 0));
  d.max_positions = static_cast<int64_t>(number("max_position_embeddings", 0));
  d.heads = static_cast<int>(number("num_attention_heads", 0));
  d.kv_heads = static_cast<int>(number("num_key_value_heads", 0));
  d.head_dim = static_cast<int>(number("head_dim", static_cast<double>(d.hidden / d.heads)));
  d.norm_epsilon = static_cast<float>(number("rms_norm_eps", 0));
  d.attention_scale = 1.0f / std::sqrt(static_cast<float>(d.head_dim));
  d.tied_head = config.find("tie_word_embeddings")->as_boolean("tie_word_embeddings");
  d.embedding = "model.embed_tokens";
  d.final_norm = "model.norm";
  d.head = "lm_head";
  const Json& rope = *config.find("rope_parameters");
  const double theta = rope.find("rope_theta")->as_double("rope_theta");
  RopeDescription table;
  for (int i = 0; i < d.head_dim; i += 2)
    table.inverse_frequencies.push_back(1.0f / static_cast<float>(std::pow(theta, static_cast<double>(i) / d.head_dim)));
  if (rope.find("rope_type")->as_string("rope_type") == "llama3") {
    const double factor = rope.find("factor")->as_double("factor"), low = rope.find("low_freq_factor")->as_double("low"),
                 high = rope.find("high_freq_factor")->as_double("high");
    const double original = rope.find("original_max_position_embeddings")->as_double("original");
    for (float& f : table.inverse_frequencies) {
      const double wavelength = 2 * M_PI / f;
      if (wavelength > original / low) {
        f = static_cast<float>(f / factor);
      } else if (wavelength >= original / high) {
        const double smooth = (original / wavelength - low) / (high - low);
        f = static_cast<float>((1 - smooth) * f / factor + smooth * f);
      }
    }
  }
  d.ropes.push_back(table);
  for (int i = 0; i < static_cast<int>(number("num_hidden_layers", 0)); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    BlockSpec block = llama_block(
        d, prefix,
        {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"});
    block.attention.window = static_cast<int>(number("sliding_window", 0));
    if (type == "qwen3")
      block.attention.q_norm = {prefix + "self_attn.q_norm", d.head_dim},
      block.attention.k_norm = {prefix + "self_attn.k_norm", d.head_dim};
    for (LinearSpec& linear : block.attention.in) linear.bias = type == "qwen2";
    d.layers.push_back(block);
  }
  return d;
}

struct Golden {
  Description description;
  Checkpoint tensors;
  std::vector<int32_t> ids, labels, lengths;  // rows without their padding

  explicit Golden(const std::string& family)
      : description(golden_description(family)), tensors({golden_path(family, "golden.safetensors")}) {
    const auto read = [&](const char* name) {
      const TensorView view = tensors.get(name);
      std::vector<int64_t> values(static_cast<size_t>(view.elements()));
      std::memcpy(values.data(), view.data, view.bytes);
      return values;
    };
    const std::vector<int64_t> all_ids = read("input_ids"), mask = read("attention_mask"), all_labels = read("labels");
    const int64_t rows = tensors.get("input_ids").shape[0], T = tensors.get("input_ids").shape[1];
    for (int64_t row = 0; row < rows; ++row) {
      int32_t length = 0;
      for (int64_t t = 0; t < T; ++t) {
        const size_t i = static_cast<size_t>(row * T + t);
        if (mask[i] == 0) continue;
        ids.push_back(static_cast<int32_t>(all_ids[i]));
        labels.push_back(static_cast<int32_t>(all_labels[i]));
        ++length;
      }
      lengths.push_back(length);
    }
  }

  double metadata(const char* key) const {
    for (const auto& [name, value] : tensors.metadata())
      if (name == key) return std::stod(value);
    fail(Code::E_MISSING, "no %s in the golden metadata", key);
  }

  /// The golden logits of the rows without padding, [M, V].
  std::vector<float> logits() const {
    const std::vector<float> padded = read_vector(tensors, "logits");
    const int64_t T = tensors.get("logits").shape[1], V = description.vocabulary;
    std::vector<float> packed;
    for (size_t row = 0; row < lengths.size(); ++row) {
      const auto begin = padded.begin() + static_cast<int64_t>(row) * T * V;
      packed.insert(packed.end(), begin, begin + lengths[row] * V);
    }
    return packed;
  }

  /// Every linear layer adapted at rank 8, alpha 16, with the golden values. `wrong` multiplies the scaling of the first block's o_proj.
  Adapter adapter(float wrong = 1) const {
    std::vector<AdapterLayer> layers;
    for (const ModelTensor& linear : list_linears(description)) layers.push_back({linear.module, 8, 2.0f, 0});
    layers[linear_o].scaling *= wrong;
    Adapter adapter{AdapterMap(description, layers)};
    for (const TensorLayout& tensor : adapter.layout()) {
      const std::vector<float> values = read_vector(tensors, "adapter." + tensor.name);
      std::copy(values.begin(), values.end(), adapter.values.span().begin() + tensor.offset);
    }
    return adapter;
  }
};

}  // namespace fedlora
