/// A description from JSON as `ModelDescription` of src/native/binding/description.ts spells it: golden folders keep what TypeScript makes
/// of their config.json, which a test there compares.
#pragma once
#include <fstream>
#include <iterator>
#include <string>

#include "io/json.h"
#include "model/description.h"

namespace fedlora {

class JsonDescription {
 public:
  explicit JsonDescription(const std::string& path) : json_(parse_json(read(path), path.c_str())) {}

  Description description() const {
    Description d;
    d.family = text(json_, "family");
    d.vocabulary = whole(json_, "vocabulary"), d.hidden = whole(json_, "hidden"), d.intermediate = whole(json_, "intermediate");
    d.max_positions = whole(json_, "maxPositions");
    d.heads = static_cast<int>(whole(json_, "heads")), d.kv_heads = static_cast<int>(whole(json_, "kvHeads"));
    d.head_dim = static_cast<int>(whole(json_, "headDim"));
    d.norm_epsilon = number(json_, "normEpsilon"), d.norm_offset = number(json_, "normOffset");
    const std::string kind = text(json_, "activation");
    d.activation = kind == "silu"   ? Activate::silu
                   : kind == "relu" ? Activate::relu
                   : kind == "gelu" ? Activate::gelu
                                    : Activate::gelu_tanh;
    d.norm = text(json_, "norm") == "layer" ? NormKind::layer : NormKind::rms;
    d.gated = flag(json_, "gated"), d.parallel = flag(json_, "parallel"), d.head_bias = flag(json_, "headBias");
    d.position_offset = whole(json_, "positionOffset");
    d.attention_scale = number(json_, "attentionScale");
    d.attention_soft_cap = number(json_, "attentionSoftCap"), d.logit_soft_cap = number(json_, "logitSoftCap");
    d.embedding_multiplier = number(json_, "embeddingMultiplier"), d.residual_multiplier = number(json_, "residualMultiplier");
    d.logits_divider = number(json_, "logitsDivider");
    d.tied_head = flag(json_, "tiedHead"), d.transposed_linears = flag(json_, "transposedLinears");
    if (json_.find("alibiSlopes")) d.alibi_slopes = numbers(json_, "alibiSlopes");
    for (const Json& rope : json_.find("ropes")->as_array("ropes")) d.ropes.push_back(rope_of(rope));
    for (const Json& layer : json_.find("layers")->as_array("layers")) d.layers.push_back(block_of(layer, d));
    const Json& names = *json_.find("names");
    d.embedding = text(names, "embedding"), d.positions = text(names, "positions"), d.final_norm = text(names, "finalNorm"),
    d.embedding_norm = text(names, "embeddingNorm"), d.head = text(names, "head");
    return d;
  }

 private:
  static std::string read(const std::string& path) {
    std::ifstream stream(path);
    return std::string(std::istreambuf_iterator<char>(stream), {});
  }
  static float number(const Json& json, const char* key) { return static_cast<float>(json.find(key)->as_double(key)); }
  static bool flag(const Json& json, const char* key) { return json.find(key)->as_boolean(key); }
  static int64_t whole(const Json& json, const char* key) { return json.find(key)->as_int64(key); }
  static std::string text(const Json& json, const char* key) {
    const Json* value = json.find(key);
    return value ? std::string(value->as_string(key)) : "";
  }
  static std::vector<float> numbers(const Json& json, const char* key) {
    std::vector<float> list;
    for (const Json& value : json.find(key)->as_array(key)) list.push_back(static_cast<float>(value.as_double(key)));
    return list;
  }
  static RopeDescription rope_of(const Json& json) {
    RopeDescription rope;
    rope.inverse_frequencies = numbers(json, "inverseFrequencies");
    rope.attention_factor = number(json, "attentionFactor");
    if (const Json* of_long = json.find("long")) {
      rope.long_inverse_frequencies = numbers(*of_long, "inverseFrequencies");
      rope.original_positions = whole(*of_long, "originalPositions");
    }
    if (const Json* temperature = json.find("temperature"))
      rope.temperature_beta = number(*temperature, "beta"), rope.temperature_positions = whole(*temperature, "positions");
    return rope;
  }
  static LinearSpec linear_of(const Json& json) {
    const auto& shape = json.find("shape")->as_array("shape");
    return {text(json, "module"), shape[0].as_int64("shape"), shape[1].as_int64("shape"), json.find("bias")->as_boolean("bias")};
  }
  static std::vector<LinearSpec> linears_of(const Json& json) {
    std::vector<LinearSpec> list;
    for (const Json& linear : json.find("in")->as_array("in")) list.push_back(linear_of(linear));
    return list;
  }
  BlockSpec block_of(const Json& json, const Description& d) const {
    const Json &norms = *json.find("norms"), &attention = *json.find("attention"), &mlp = *json.find("mlp");
    const bool whole_projection = text(json_, "queryKeyNorm") == "projection";
    BlockSpec block;
    block.before_attention = {text(norms, "beforeAttention"), d.hidden};
    block.after_attention = {text(norms, "afterAttention"), d.hidden};
    block.before_mlp = {text(norms, "beforeMlp"), d.hidden};
    block.after_mlp = {text(norms, "afterMlp"), d.hidden};
    block.attention.by_head = attention.find("byHead") != nullptr;
    block.attention.in = linears_of(attention), block.attention.out = linear_of(*attention.find("out"));
    block.attention.q_norm = {text(attention, "qNorm"), whole_projection ? d.query_width() : d.head_dim};
    block.attention.k_norm = {text(attention, "kNorm"), whole_projection ? d.kv_width() : d.head_dim};
    block.attention.rope = block.attention.query_rope = static_cast<int>(whole(attention, "rope"));
    if (attention.find("queryRope")) block.attention.query_rope = static_cast<int>(whole(attention, "queryRope"));
    block.attention.window = static_cast<int>(whole(attention, "window"));
    block.mlp.in = linears_of(mlp), block.mlp.out = linear_of(*mlp.find("out"));
    return block;
  }

  Json json_;
};

}  // namespace fedlora
