// The list of a model's tensors and what goes by it: loading, planning, measuring. Each family's list is compared with the names and
// shapes that its golden checkpoint really holds.
#include <set>

#include "backend/forwarding.h"
#include "book_backend.h"
#include "engine/load.h"
#include "engine/memory.h"
#include "engine/open_backend.h"
#include "golden_model.h"
#include "harness.h"
#include "io/safetensors_writer.h"
#include "model/tensor_list.h"
#include "quant/encode.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

constexpr const char* families[] = {"llama", "llama3-rope", "mistral", "qwen2", "qwen3"};
const std::optional<Format> formats[] = {std::nullopt, Format::bf16, Format::int8, Format::nf4, Format::fp4};

LoadOptions options_of(const char* family) {
  LoadOptions options;
  options.files = {golden_path(family, "model.safetensors")};
  options.description = golden_description(family);
  return options;
}

/// A backend that runs little: heads of 32, embedding and head in f32, linear layers in nf4.
class Particular : public Forwarding {
 public:
  Particular() : Forwarding(std::make_unique<BookBackend>()) {}
  std::string lacks(const Need& need) const override {
    if (need.head_dim != 32) return "heads of " + std::to_string(need.head_dim);
    if (need.embedding != Format::f32 || need.head != Format::f32) return "a table";
    return need.linears == std::vector<Format>{Format::nf4} ? "" : "a linear layer";
  }
};

}  // namespace

CASE("the list has the names, shapes and layers of a checkpoint, each once, and none besides") {
  std::vector<const char*> all(std::begin(families), std::end(families));
  all.insert(all.end(), {"phi", "opt", "bloom"});  // biases, positions, a norm of embeddings
  for (const char* family : all) {
    const LoadOptions options = options_of(family);
    const Checkpoint checkpoint(options.files);
    std::set<std::string> names;
    for (const ModelTensor& tensor : list_tensors(options.description)) {
      CHECK(checkpoint.has(tensor.name()) && checkpoint.get(tensor.name()).shape == tensor.shape());
      CHECK(names.insert(tensor.name()).second);
      const std::set<TensorRole> of_blocks{TensorRole::norm, TensorRole::linear, TensorRole::bias, TensorRole::norm_bias};
      if (of_blocks.count(tensor.role))  // "model.layers.1.mlp.up_proj.weight" is of layer 1
        CHECK(tensor.name().find('.' + std::to_string(tensor.layer) + '.') != std::string::npos && tensor.place >= 0);
      else
        CHECK(tensor.layer == -1 && tensor.place == -1);
    }
    CHECK(names.size() == checkpoint.names().size());
  }
}

CASE("canary: a description with another width, or without its biases or head norms, has another list") {
  const auto differs = [](const char* family, auto change) {
    LoadOptions options = options_of(family);
    change(options.description);
    const Checkpoint checkpoint(options.files);
    const std::vector<ModelTensor> list = list_tensors(options.description);
    bool equal = list.size() == checkpoint.names().size();
    for (const ModelTensor& tensor : list)
      equal = equal && checkpoint.has(tensor.name()) && checkpoint.get(tensor.name()).shape == tensor.shape();
    return !equal;
  };
  CHECK(differs("llama", [](Description& d) { linear_at(d.layers[0], linear_up).N += 1; }));
  CHECK(differs("qwen2", [](Description& d) { d.layers[1].attention.in[0].bias = false; }));
  CHECK(differs("qwen3", [](Description& d) { d.layers[0].attention.q_norm = {}; }));
  CHECK(differs("llama", [](Description& d) { d.tied_head = !d.tied_head; }));
}

CASE("every tensor of the list has a place of its own in the loaded weights, filled with its values") {
  for (const char* family : families) {
    const LoadOptions options = options_of(family);
    const std::shared_ptr<Engine> engine = load_engine(options, {});
    const Weights& weights = engine->transformer->weights();
    const Checkpoint checkpoint(options.files);
    std::set<const void*> places;
    for (const ModelTensor& tensor : list_tensors(options.description)) {
      const std::vector<float> stored = read_vector(checkpoint, tensor.name());
      if (tensor.is_matrix()) {
        const Matrix& matrix = matrix_of(weights, tensor);
        std::vector<float> values(stored.size());
        decode(matrix, 0, matrix.elements(), values.data());
        CHECK(matrix.N == tensor.N && matrix.K == tensor.K && values == stored);
        places.insert(&matrix);
      } else {
        CHECK(std::ranges::equal(vector_of(weights, tensor).span(), stored));
        places.insert(&vector_of(weights, tensor));
      }
    }
    CHECK(places.size() == list_tensors(options.description).size());
  }
}

CASE("tensors that the model has no place for are told by name") {
  const ScratchFolder folder;
  LoadOptions options = options_of("llama");
  CHECK(load_engine(options, {})->unused.empty());
  write_safetensors(folder / "more", {{{"model.layers.0.gate.weight", DType::u8, {1}}, {1}, nullptr}}, {});
  options.files.push_back(folder / "more");
  CHECK(load_engine(options, {})->unused == std::vector<std::string>{"model.layers.0.gate.weight"});
}

CASE("the linear layers of the list are in forward order, block by block") {
  const Description d = golden_description("qwen2");
  const std::vector<ModelTensor> linears = list_linears(d);
  CHECK(linears.size() == d.layers.size() * linears_per_layer);
  for (size_t i = 0; i < linears.size(); ++i) {
    CHECK(linears[i].layer == static_cast<int64_t>(i / linears_per_layer) && linears[i].place == static_cast<int>(i % linears_per_layer));
    CHECK(linears[i].module == d.layers[i / linears_per_layer].linear(static_cast<int>(i % linears_per_layer)).module);
  }
}

CASE("the bytes that are planned are the bytes that are held, in every format, and so are those of random weights") {
  for (const char* family : families)
    for (const std::optional<Format> format : formats)
      for (const bool nested : {false, true}) {
        LoadOptions options = options_of(family);
        options.quantization = format;
        options.double_quantization = nested && format && is_4bit(*format);
        const std::shared_ptr<Engine> engine = load_engine(options, {});
        CHECK(plan_weights(options, engine->transformer->backend()) == engine->memory.total());
        if (format) CHECK(random_engine(options, 1)->memory.linears == engine->memory.linears);
      }
}

CASE("a folder of bitsandbytes is planned in the formats that it is stored in") {
  for (const char* folder : {"llama-bnb-nf4", "llama-bnb-int8"}) {
    LoadOptions options = options_of(folder);
    options.double_quantization = std::string(folder) == "llama-bnb-nf4";  // as its config.json says
    const std::shared_ptr<Engine> engine = load_engine(options, {});
    CHECK(plan_weights(options, engine->transformer->backend()) == engine->memory.total());
    CHECK(engine->memory.linears < load_engine(options_of("llama"), {})->memory.linears / 3);
  }
}

CASE("what the backend cannot run is refused by name, before a weight is read, when loading and when planning") {
  const auto refused = [](const LoadOptions& options) {
    int64_t read = 0;
    const auto count = [&](int64_t, int64_t) { ++read; };
    CHECK_THROWS(load_engine(options, std::make_unique<Particular>(), count), E_UNSUPPORTED);
    CHECK_THROWS(plan_weights(options, Particular()), E_UNSUPPORTED);
    return read == 0;
  };
  LoadOptions options = options_of("llama");
  options.quantization = Format::fp4;
  CHECK(refused(options));
  options.quantization = Format::bf16;
  CHECK(refused(options));
  options.quantization = Format::nf4;
  CHECK(plan_weights(options, Particular()) == load_engine(options, std::make_unique<Particular>(), {})->memory.total());
  try {
    check_supported(Particular(), {12, Format::f32, Format::f32, {Format::nf4}}, "llama");
    CHECK(!"refused");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_UNSUPPORTED);
    for (const char* name : {"llama", "heads of 12", "book"}) CHECK(std::string(error.what()).find(name) != std::string::npos);
  }
}

CASE("a tensor of another shape is refused with its name and both shapes") {
  LoadOptions options = options_of("llama");
  const int64_t vocabulary = options.description.vocabulary, hidden = options.description.hidden;
  options.description.vocabulary = vocabulary + 1;
  const auto shape = [&](int64_t rows) { return "[" + std::to_string(rows) + ", " + std::to_string(hidden) + "]"; };
  try {
    load_engine(options, std::make_unique<BookBackend>(), {});
    CHECK(!"refused");
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_SHAPE);
    for (const std::string& part : {options.description.embedding, shape(vocabulary), shape(vocabulary + 1)})
      CHECK(std::string(error.what()).find(part) != std::string::npos);
  }
}

CASE("tensors that are missing are listed, a dozen at most; a missing head has its own hint") {
  const auto said = [](auto change) {
    LoadOptions options = options_of("llama");
    change(options.description);
    try {
      load_engine(options, std::make_unique<BookBackend>(), {});
    } catch (const Error& error) {
      CHECK(error.code() == Code::E_MISSING);
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  const auto listed = [](const std::string& text) {
    int count = 0;
    for (size_t at = 0; (at = text.find("\n  elsewhere.", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  const auto without = [&](int linears) {
    return said([=](Description& d) {
      for (int i = 0; i < linears; ++i)
        linear_at(d.layers[static_cast<size_t>(i / linears_per_layer)], i % linears_per_layer).module.insert(0, "elsewhere.");
    });
  };
  for (const int linears : {1, 11, 12}) CHECK(listed(without(linears)) == linears && without(linears).find("more") == std::string::npos);
  CHECK(listed(without(14)) == 12 && without(14).find("\n  and 2 more") != std::string::npos);
  const char* const hint = "tie_word_embeddings";
  CHECK(said([](Description& d) { d.tied_head = false, d.head = "elsewhere"; }).find(hint) != std::string::npos);
  CHECK(said([](Description& d) { d.embedding = "model.elsewhere"; }).find(hint) == std::string::npos);
  CHECK(without(1).find(hint) == std::string::npos);
}

CASE("the CPU runs linear layers and heads of every format, embeddings of plain ones") {
  const std::unique_ptr<Backend> cpu = open_backend({Compute::bf16, 1});
  for (const Format format : {Format::f32, Format::f16, Format::bf16}) CHECK(cpu->lacks({64, format, Format::nf4, {format}}).empty());
  for (const Format format : {Format::nf4, Format::fp4, Format::int8}) {
    CHECK(cpu->lacks({64, format, Format::f32, {}}) == std::string("an embedding in ") + format_name(format));
    CHECK(cpu->lacks({64, Format::f32, format, {format}}).empty());
  }
  // Attention's backward sums q's, k's and v's gradients in f32, with two numbers a row and head; the loss goes by the supervised rows
  // alone.
  const auto needs = [](int64_t tokens, int64_t supervised) {
    const PassSize pass{.tokens = tokens, .supervised = supervised, .vocabulary = 1000, .heads = 4, .kv_heads = 4, .head_dim = 64};
    return open_backend({Compute::bf16, 2})->needs(pass);
  };
  CHECK(needs(100, 10).scratch - needs(0, 10).scratch == 2 * 100 * 4 * (64 + 2) * sizeof(float));
  CHECK(needs(100, 10).loss == needs(10, 10).loss && needs(100, 10).loss < needs(100, 20).loss);
  CHECK_THROWS(open_backend({Compute::f32, 0}), E_ARGUMENT);
  CHECK_THROWS(open_backend({Compute::f32, 1025}), E_ARGUMENT);
  CHECK(open_backend({Compute::f32, 3})->threads() == 3 && cpu->compute() == Compute::bf16);
}

CASE("a plan counts scales of scales as the backend holds them") {
  struct Decoding final : Forwarding {
    using Forwarding::Forwarding;
    bool keeps_nested_scales() const override { return false; }
  };
  const std::unique_ptr<Backend> cpu = open_backend({Compute::f32, 1});
  const Decoding decoding(open_backend({Compute::f32, 1}));
  LoadOptions options = options_of("qwen3");
  options.quantization = Format::nf4;
  const size_t plain = plan_weights(options, *cpu);
  options.double_quantization = true;
  CHECK(plan_weights(options, *cpu) < plain && plan_weights(options, decoding) == plain);
}

CASE("memory by kind is the sum over the tensors of that kind") {
  const LoadOptions options = options_of("qwen3");
  const Description& d = options.description;
  const std::shared_ptr<Engine> engine = load_engine(options, {});
  size_t linears = 0, norms = static_cast<size_t>(d.hidden);
  for (size_t l = 0; l < d.layers.size(); ++l) {
    norms += static_cast<size_t>(2 * d.hidden + 2 * d.head_dim);
    for (int place = 0; place < linears_per_layer; ++place)
      linears += static_cast<size_t>(d.layers[l].linear(place).N * d.layers[l].linear(place).K);
  }
  const size_t table = static_cast<size_t>(d.vocabulary * d.hidden);
  const ModelMemory& memory = engine->memory;
  CHECK(memory.linears == 4 * linears && memory.norms == 4 * norms && memory.embedding == 4 * table);
  CHECK(memory.head == (d.tied_head ? 0 : 4 * table));
  CHECK(memory.total() == memory.linears + memory.norms + memory.embedding + memory.head);
}

CASE("a plan: values, gradient and moments of every adapter; what is no step is refused") {
  const Description description = golden_description("llama");
  const BookBackend backend;
  PlanRequest request;
  request.tokens = 7, request.supervised = 5;
  int64_t values = 0;
  for (const ModelTensor& linear : list_linears(description)) {
    request.layers.push_back({linear.module, 4, 1, 0});
    values += 4 * (linear.shape()[0] + linear.shape()[1]);
  }
  const auto adapter_bytes = [&](bool adamw, int64_t adapters) {
    request.adamw = adamw, request.adapters = adapters;
    return plan_step(description, 100, backend, request).adapter;
  };
  const size_t one = static_cast<size_t>(values) * sizeof(float);
  CHECK(adapter_bytes(true, 1) == 4 * one && adapter_bytes(true, 3) == 12 * one);
  CHECK(adapter_bytes(false, 1) == 2 * one && adapter_bytes(false, 5) == 10 * one);
  CHECK(plan_step(description, 100, backend, request).weights == 100);
  const auto refused = [&](auto change) {
    PlanRequest wrong = request;
    change(wrong);
    CHECK_THROWS(plan_step(description, 0, backend, wrong), E_ARGUMENT);
  };
  refused([](PlanRequest& wrong) { wrong.tokens = 0, wrong.supervised = 0; });
  refused([](PlanRequest& wrong) { wrong.supervised = -1; });
  refused([](PlanRequest& wrong) { wrong.supervised = wrong.tokens + 1; });
  refused([](PlanRequest& wrong) { wrong.adapters = 0; });
  refused([](PlanRequest& wrong) { wrong.examples = -1; });
  request.tokens = 1, request.supervised = 1;
  CHECK(plan_step(description, 0, backend, request).total() > 0);
  request.supervised = 0;
  CHECK(plan_step(description, 0, backend, request).total() > 0);
}

CASE("progress counts every tensor once, to the end") {
  std::vector<int64_t> seen;
  int64_t all = 0;
  const LoadOptions options = options_of("qwen2");
  load_engine(options, [&](int64_t done, int64_t total) {
    seen.push_back(done);
    all = total;
  });
  CHECK(all == static_cast<int64_t>(list_tensors(options.description).size()) && static_cast<int64_t>(seen.size()) == all);
  for (size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == static_cast<int64_t>(i + 1));
}

CASE("norm_offset is added to every norm and to nothing else") {
  LoadOptions options = options_of("qwen3");
  for (BlockSpec& block : options.description.layers)
    for (LinearSpec& linear : block.attention.in) linear.bias = false;
  const auto plain = load_engine(options, {});
  options.description.norm_offset = 1;
  const auto shifted = load_engine(options, {});
  for (const ModelTensor& tensor : list_tensors(options.description)) {
    if (tensor.is_matrix()) continue;
    const std::span<const float> before = vector_of(plain->transformer->weights(), tensor).span(),
                                 after = vector_of(shifted->transformer->weights(), tensor).span();
    for (size_t i = 0; i < before.size(); ++i) CHECK(after[i] == before[i] + 1);
  }
  LoadOptions biased = options_of("qwen2");
  biased.description.norm_offset = 1;
  const auto with_bias = load_engine(biased, {});
  const Checkpoint checkpoint(biased.files);
  for (const ModelTensor& tensor : list_tensors(biased.description))
    if (tensor.role == TensorRole::bias)
      CHECK(std::ranges::equal(vector_of(with_bias->transformer->weights(), tensor).span(), read_vector(checkpoint, tensor.name())));
}

namespace {
void refused(Code code, const std::string& text, const std::function<void(Description&)>& change) {
  Description description = golden_description("llama");
  change(description);
  try {
    check_consistent(description);
    check_supported(description);
  } catch (const Error& error) {
    CHECK(error.code() == code);
    if (std::string(error.what()).find(text) == std::string::npos) std::printf("# %s\n", error.what());
    CHECK(std::string(error.what()).find(text) != std::string::npos);
    return;
  }
  std::printf("# %s\n", text.c_str());
  CHECK(!"it was refused");
}
}  // namespace

CASE("each trait that the engine cannot run is refused by its name; without any, it runs") {
  checked(golden_description("llama"));
  const auto unsupported = [](const char* trait, const std::function<void(Description&)>& change) {
    refused(Code::E_UNSUPPORTED, std::string("needs ") + trait + ",", change);
  };
  unsupported("LayerNorm after a half or of queries and keys", [](Description& d) {
    d.norm = NormKind::layer;
    for (BlockSpec& block : d.layers) block.after_mlp = {"norm", d.hidden};
  });
  unsupported("ALiBi with soft caps", [](Description& d) { d.alibi_slopes.assign(4, 0.5f), d.attention_soft_cap = 50; });
}

CASE("sizes that are not positive or do not agree are refused by name") {
  const auto inconsistent = [](const char* text, const std::function<void(Description&)>& change) {
    refused(Code::E_CONFIG, text, change);
  };
  inconsistent("vocabulary is 0", [](Description& d) { d.vocabulary = 0; });
  inconsistent("hidden is -1", [](Description& d) { d.hidden = -1; });
  inconsistent("intermediate is 2147483648", [](Description& d) { d.intermediate = int64_t{1} << 31; });
  inconsistent("heads is 0", [](Description& d) { d.heads = 0; });
  inconsistent("kvHeads is 0", [](Description& d) { d.kv_heads = 0; });
  inconsistent("headDim is 0", [](Description& d) { d.head_dim = 0; });
  inconsistent("layers is 0", [](Description& d) { d.layers.clear(); });
  inconsistent("cannot share", [](Description& d) { d.kv_heads = d.heads + 1; });
  inconsistent("head_dim is 258", [](Description& d) { d.head_dim = 258; });
  inconsistent("4097 heads", [](Description& d) { d.heads = 4097, d.kv_heads = 1; });
  inconsistent("4097 layers", [](Description& d) { d.layers.resize(4097); });
  inconsistent("frequencies, expected 1 to head_dim / 2", [](Description& d) { d.ropes[0].inverse_frequencies.push_back(1); });
  inconsistent("names rope 1 of 1", [](Description& d) { d.layers[1].attention.rope = 1; });
  inconsistent("names rope -2 of 1", [](Description& d) { d.layers[1].attention.rope = -2; });
  inconsistent("the window -1", [](Description& d) { d.layers[1].attention.window = -1; });
  inconsistent("layer 1 has 2 linear layers before attention", [](Description& d) { d.layers[1].attention.in.pop_back(); });
  inconsistent("and 0 at the MLP's entry", [](Description& d) { d.layers[0].mlp.in.clear(); });
  for (int place = 0; place < linears_per_layer; ++place) {
    inconsistent("from the model's sizes", [=](Description& d) { ++linear_at(d.layers[1], place).N; });
    inconsistent("from the model's sizes", [=](Description& d) { --linear_at(d.layers[0], place).K; });
    inconsistent("layer 1 has a linear layer without a name", [=](Description& d) { linear_at(d.layers[1], place).module.clear(); });
  }
  for (const auto& edge : {+[](Description& d) { d.layers[1].attention.rope = d.layers[1].attention.query_rope = -1; },
                           +[](Description& d) { d.layers[0].attention.window = 1; }}) {
    Description d = golden_description("llama");
    edge(d);
    checked(d);
  }
}

TEST_MAIN()
