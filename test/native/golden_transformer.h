/// The golden checkpoints as the book's transformer: weights and configuration from a model folder, the adapter from its golden file.
#pragma once
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "base/half.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "ref/rope_ref.h"
#include "ref/transformer_ref.h"

namespace golden {

template <class Number = double>
std::vector<Number> numbers(const fedlora::TensorSource& file, const std::string& name) {
  const fedlora::TensorView view = file.get(name);
  std::vector<Number> values(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    if (view.dtype == fedlora::DType::i64) {
      int64_t value;
      std::memcpy(&value, static_cast<const char*>(view.data) + i * 8, 8);
      values[i] = static_cast<Number>(value);
    } else if (view.dtype == fedlora::DType::f32) {
      float value;
      std::memcpy(&value, static_cast<const char*>(view.data) + i * 4, 4);
      values[i] = static_cast<Number>(value);
    } else {
      fedlora::fail(fedlora::Code::E_DTYPE, "%s: expected I64 or F32", name.c_str());
    }
  }
  return values;
}

/// A number of the file's metadata, such as "f32_error.loss".
inline double metadata(const fedlora::SafetensorsFile& file, const std::string& key) {
  for (const auto& [name, value] : file.metadata())
    if (name == key) return std::stod(value);
  fedlora::fail(fedlora::Code::E_MISSING, "metadata %s", key.c_str());
}

struct Named {
  std::string name;  // of the adapter's tensor, without .lora_A.weight
  fedlora::ref::Linear* layer;
};

/// Every linear layer of the blocks with its PEFT name.
inline std::vector<Named> linears(fedlora::ref::Transformer& model) {
  std::vector<Named> all;
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    fedlora::ref::Block& block = model.blocks[i];
    const std::string prefix = "base_model.model.model.layers." + std::to_string(i) + ".";
    for (auto [name, layer] : {std::pair{"self_attn.q_proj", &block.q},
                               {"self_attn.k_proj", &block.k},
                               {"self_attn.v_proj", &block.v},
                               {"self_attn.o_proj", &block.o},
                               {"mlp.gate_proj", &block.gate},
                               {"mlp.up_proj", &block.up},
                               {"mlp.down_proj", &block.down}})
      all.push_back({prefix + name, layer});
  }
  return all;
}

/// The model of `folder` with the adapter "adapter.*" of its golden file, at LoRA scaling alpha / r = 2.
inline fedlora::ref::Transformer load_transformer(const std::string& folder, const fedlora::SafetensorsFile& golden_file) {
  using namespace fedlora;
  std::ifstream stream(folder + "/config.json");
  const Json config = parse_json(std::string(std::istreambuf_iterator<char>(stream), {}), "config.json");
  const auto integer = [&](const char* key) { return config.find(key)->as_int64(key); };
  const SafetensorsFile file(folder + "/model.safetensors");
  ref::Transformer model;
  model.hidden = integer("hidden_size");
  model.vocabulary = integer("vocab_size");
  model.attention.heads = static_cast<int>(integer("num_attention_heads"));
  model.attention.kv_heads = static_cast<int>(integer("num_key_value_heads"));
  model.attention.head_dim = static_cast<int>(config.find("head_dim") ? integer("head_dim") : model.hidden / model.attention.heads);
  model.attention.scale = 1.0f / std::sqrt(static_cast<float>(model.attention.head_dim));
  const Json* window = config.find("sliding_window");
  model.norm_epsilon = config.find("rms_norm_eps")->as_double("rms_norm_eps");
  model.embedding = numbers(file, "model.embed_tokens.weight");
  if (!config.find("tie_word_embeddings")->as_boolean("tie_word_embeddings")) model.head = numbers(file, "lm_head.weight");
  model.final_norm = numbers(file, "model.norm.weight");

  const Json& rope = *config.find("rope_parameters");
  const auto rope_number = [&](const char* key) { return rope.find(key)->as_double(key); };
  std::vector<float> frequencies = ref::rope_frequencies(model.attention.head_dim, rope_number("rope_theta"));
  if (rope.find("rope_type")->as_string("rope_type") == "llama3")
    ref::llama3_scale(frequencies, rope_number("factor"), rope_number("low_freq_factor"), rope_number("high_freq_factor"),
                      rope_number("original_max_position_embeddings"));
  model.ropes.resize(1);
  ref::rope_tables(64, frequencies, model.ropes[0].cosine, model.ropes[0].sine);

  model.blocks.resize(static_cast<size_t>(integer("num_hidden_layers")));
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    if (window && window->is_integer()) model.blocks[i].window = static_cast<int>(window->as_int64("sliding_window"));
    model.blocks[i].input_norm = numbers(file, prefix + "input_layernorm.weight");
    model.blocks[i].post_attention_norm = numbers(file, prefix + "post_attention_layernorm.weight");
    if (file.has(prefix + "self_attn.q_norm.weight")) {
      model.blocks[i].q_norm = numbers(file, prefix + "self_attn.q_norm.weight");
      model.blocks[i].k_norm = numbers(file, prefix + "self_attn.k_norm.weight");
    }
  }
  for (const Named& named : linears(model)) {
    const std::string base = named.name.substr(std::strlen("base_model.model."));
    ref::Linear& layer = *named.layer;
    layer.N = file.get(base + ".weight").shape[0];
    layer.K = file.get(base + ".weight").shape[1];
    layer.W = numbers(file, base + ".weight");
    if (file.has(base + ".bias")) layer.bias = numbers(file, base + ".bias");
    layer.A = numbers(golden_file, "adapter." + named.name + ".lora_A.weight");
    layer.B = numbers(golden_file, "adapter." + named.name + ".lora_B.weight");
    layer.rank = static_cast<int>(static_cast<int64_t>(layer.A.size()) / layer.K);
    layer.scaling = 16.0 / layer.rank;
  }
  return model;
}

/// The golden batch [B,T] as B packed rows of T; a row's target is the next token's label.
inline fedlora::ref::TokenBatch load_batch(const fedlora::SafetensorsFile& file) {
  fedlora::ref::TokenBatch batch;
  batch.ids = numbers<int32_t>(file, "input_ids");
  const std::vector<int32_t> labels = numbers<int32_t>(file, "labels");
  const std::vector<int64_t> shape = file.get("input_ids").shape;
  for (int64_t b = 0; b < shape[0]; ++b) {
    batch.offsets.push_back(b * shape[1]);
    for (int64_t t = 0; t < shape[1]; ++t) {
      batch.positions.push_back(static_cast<int32_t>(t));
      batch.targets.push_back(t + 1 < shape[1] ? labels[static_cast<size_t>(b * shape[1] + t + 1)] : -1);
    }
  }
  batch.offsets.push_back(shape[0] * shape[1]);
  return batch;
}

}  // namespace golden
