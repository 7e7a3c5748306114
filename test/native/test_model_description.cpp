// What a description may say: sizes that agree, traits that the engine runs, each refused by name otherwise.
#include <limits>

#include "golden_model.h"
#include "harness.h"

using namespace fedlora;

namespace {

/// The message of the failure, or "" without one; another code than `expected` is reported.
template <class Check>
std::string refusal(Check check, Code expected, const Description& description) {
  try {
    check(description);
  } catch (const Error& error) {
    CHECK(error.code() == expected);
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

Description changed(const std::function<void(Description&)>& change) {
  Description d = golden_description("qwen3");
  change(d);
  return d;
}
}  // namespace

CASE("the golden families are consistent and supported") {
  for (const char* family : {"llama", "llama3-rope", "mistral", "qwen2", "qwen3"}) {
    check_consistent(golden_description(family));
    check_supported(golden_description(family));
  }
}

CASE("a layer that has other norms or projections than the first is refused by its number") {
  const std::function<void(BlockSpec&)> changes[] = {
      [](BlockSpec& block) { block.attention.q_norm = {}; },
      [](BlockSpec& block) { block.attention.k_norm.width *= 2; },
      [](BlockSpec& block) { block.after_attention = {"n", block.before_mlp.width}; },
      [](BlockSpec& block) { block.after_mlp = {"n", block.before_mlp.width}; },
      [](BlockSpec& block) { block.mlp.in = {{"gate_up", 2 * block.mlp.in[0].N, block.mlp.in[0].K}}; },
      [](BlockSpec& block) {
        const std::vector<LinearSpec>& in = block.attention.in;
        block.attention.in = {{"qkv", in[0].N + in[1].N + in[2].N, in[0].K}};
      },
  };
  for (const auto& change : changes) {
    CHECK(contains(refusal(check_consistent, Code::E_CONFIG, changed([&](Description& d) { change(d.layers[1]); })), "layer 1 has other"));
    const Description all = changed([&](Description& d) {
      for (BlockSpec& block : d.layers) change(block);
    });
    CHECK(refusal(check_consistent, Code::E_CONFIG, all).empty());
  }
}

CASE("each trait that the engine does not run is refused by its name") {
  const std::pair<const char*, std::function<void(Description&)>> traits[] = {
      {"LayerNorm after a half or of queries and keys", [](Description& d) { d.norm = NormKind::layer; }},
      {"parallel halves without a norm", [](Description& d) { d.parallel = true, d.layers[0].before_attention = {}; }},
      {"or with a residual multiplier", [](Description& d) { d.parallel = true, d.residual_multiplier = 0.5f; }},
      {"ALiBi with soft caps", [](Description& d) { d.alibi_slopes.assign(4, 0.5f), d.attention_soft_cap = 50; }},
  };
  for (const auto& [name, change] : traits) {
    const std::string message = refusal(check_supported, Code::E_UNSUPPORTED, changed(change));
    CHECK(contains(message, name));
    CHECK(contains(message, "qwen3"));
  }
}

CASE("what not every backend runs is named, and nothing of the first families is") {
  for (const char* family : {"llama", "llama3-rope", "mistral", "qwen2", "qwen3", "llama-yarn"})
    CHECK(further_traits(golden_description(family)).empty());
  const std::pair<const char*, std::function<void(Description&)>> traits[] = {
      {"soft caps", [](Description& d) { d.attention_soft_cap = 50; }},
      {"soft caps", [](Description& d) { d.logit_soft_cap = 30; }},
      {"a residual multiplier", [](Description& d) { d.residual_multiplier = 0.22f; }},
      {"a rotation of a part of each head", [](Description& d) { d.ropes[0].inverse_frequencies.pop_back(); }},
      {"LayerNorm", [](Description& d) { d.norm = NormKind::layer; }},
      {"an MLP without gate", [](Description& d) { d.gated = false; }},
      {"the exact gelu", [](Description& d) { d.activation = Activate::gelu; }},
      {"parallel halves", [](Description& d) { d.parallel = true; }},
      {"a bias of the head", [](Description& d) { d.head_bias = true; }},
      {"learned positions", [](Description& d) { d.positions = "positions"; }},
      {"ALiBi", [](Description& d) { d.alibi_slopes.assign(4, 0.5f); }},
      {"a norm of embeddings", [](Description& d) { d.embedding_norm = "norm"; }},
      {"fused projections", [](Description& d) { d.layers[1].attention.in.resize(1); }},
      {"fused projections", [](Description& d) { d.layers[1].mlp.in.resize(1); }},
      {"sublayers without a norm before them", [](Description& d) { d.layers[1].before_attention = {}; }},
      {"sublayers without a norm before them", [](Description& d) { d.layers[0].before_mlp = {}; }},
  };
  for (const auto& [name, change] : traits) CHECK(further_traits(changed(change)) == std::vector<std::string>{name});
}

CASE("frequencies change once, after the original context") {
  const Description d = golden_description("phi3-longrope");
  for (int64_t length : {1, 31, 32, 34, 64}) CHECK(!rotated_anew(d, length));
  CHECK(rotated_anew(d, 33) && !rotated_anew(golden_description("llama"), 33));
}

CASE("a size out of range, or sizes that disagree, are named") {
  const int64_t large = int64_t{std::numeric_limits<int32_t>::max()} + 1;
  const std::pair<const char*, std::function<void(Description&)>> wrong[] = {
      {"vocabulary", [](Description& d) { d.vocabulary = 0; }},
      {"vocabulary", [=](Description& d) { d.vocabulary = large; }},
      {"hidden", [](Description& d) { d.hidden = 0; }},
      {"intermediate", [](Description& d) { d.intermediate = -1; }},
      {"heads", [](Description& d) { d.heads = 0; }},
      {"slopes of ALiBi for", [](Description& d) { d.alibi_slopes.assign(5, 0.5f); }},
      {"slope of ALiBi is", [](Description& d) { d.alibi_slopes.assign(4, 0.0f); }},
      {"slope of ALiBi is", [](Description& d) { d.alibi_slopes.assign(4, NAN); }},
      {"kvHeads", [](Description& d) { d.kv_heads = 0; }},
      {"headDim", [](Description& d) { d.head_dim = 0; }},
      {"layers", [](Description& d) { d.layers.clear(); }},
      {"4 query heads cannot share 3", [](Description& d) { d.heads = 4, d.kv_heads = 3; }},
      {"head_dim is 258", [](Description& d) { d.head_dim = 258; }},
      {"4097 heads", [](Description& d) { d.heads = 4097, d.kv_heads = 1; }},
      {"4097 layers", [](Description& d) { d.layers.resize(4097, d.layers[0]); }},
      {"rope has 33 frequencies, expected 1 to head_dim / 2 = 32", [](Description& d) { d.ropes[0].inverse_frequencies.push_back(1); }},
      {"rope has 0 frequencies", [](Description& d) { d.ropes[0].inverse_frequencies.clear(); }},
      {"rope has 1 frequencies for long rows", [](Description& d) { d.ropes[0].long_inverse_frequencies = {1}; }},
      {"rope changes at a position below 1", [](Description& d) { d.ropes[0].original_positions = -1; }},
      {"rope changes at a position below 1", [](Description& d) { d.ropes[0].temperature_positions = 0; }},
      {"layer 0 names rope 1 of 1", [](Description& d) { d.layers[0].attention.query_rope = 1; }},
      {"layer 0 names rope -2 of 1", [](Description& d) { d.layers[0].attention.query_rope = -2; }},
      {"layer 1 names rope 1 of 1", [](Description& d) { d.layers[1].attention.rope = 1; }},
      {"layer 0 names rope -2 of 1", [](Description& d) { d.layers[0].attention.rope = -2; }},
      {"layer 1 has the window -1", [](Description& d) { d.layers[1].attention.window = -1; }},
  };
  for (const auto& [part, change] : wrong) {
    const std::string message = refusal(check_consistent, Code::E_CONFIG, changed(change));
    if (!contains(message, part)) harness::report(__FILE__, __LINE__, std::string(part) + " is not in: " + message);
  }
}

namespace {
/// The same blocks for other sizes.
void resize(Description& d) {
  for (BlockSpec& block : d.layers) {
    const BlockSpec fresh = llama_block(d, "", {"q", "k", "v", "o", "gate", "up", "down"});
    block.attention.in = fresh.attention.in, block.attention.out = fresh.attention.out, block.mlp = fresh.mlp;
  }
}
}  // namespace

CASE("the largest sizes that are allowed are") {
  check_consistent(changed([](Description& d) { d.vocabulary = std::numeric_limits<int32_t>::max(); }));
  check_consistent(changed([](Description& d) { d.vocabulary = d.hidden = d.intermediate = 1, resize(d); }));
  check_consistent(changed([](Description& d) { d.heads = d.kv_heads = 4096, resize(d); }));
  check_consistent(changed([](Description& d) { d.layers.resize(4096, d.layers[0]); }));
  check_consistent(changed([](Description& d) {
    d.head_dim = 256;
    d.ropes[0].inverse_frequencies.resize(128);
    resize(d);
  }));
  check_consistent(changed([](Description& d) {
    d.ropes.clear();
    for (BlockSpec& block : d.layers) block.attention.rope = block.attention.query_rope = -1;
  }));
  check_supported(
      changed([](Description& d) { d.ropes.push_back(d.ropes[0]), d.layers[1].attention.rope = d.layers[1].attention.query_rope = 1; }));
}

CASE("a linear layer by its place is the one of its group") {
  Description d;
  d.hidden = 10, d.intermediate = 30, d.heads = 6, d.kv_heads = 2, d.head_dim = 4;
  BlockSpec block = llama_block(d, "", {"q", "k", "v", "o", "gate", "up", "down"});
  const int64_t out[] = {24, 8, 8, 10, 30, 30, 10}, in[] = {10, 10, 10, 24, 10, 10, 30};
  int place = 0;
  for (const LinearGroup& group : linear_groups) {
    CHECK(place == group.first);
    for (const LinearSpec& linear : block.group(group)) {
      CHECK(&linear == &block.linear(place));
      CHECK(linear.N == out[place] && linear.K == in[place]);
      ++place;
    }
  }
  CHECK(place == linears_per_layer);
  block.attention.in.resize(1), block.mlp.in.resize(1);
  for (int absent : {-1, 1, 2, 5, 7}) CHECK(!block.linear(absent).present());
  CHECK(block.linear(3).module == "o" && block.linear(4).module == "gate" && block.linear(6).module == "down");
}

TEST_MAIN()
