// JavaScript option objects into the plain structs of the engine.
#include <cmath>
#include <string_view>

#include "model/batch.h"
#include "napi/seam.h"

namespace fedlora::seam {

namespace {
constexpr int64_t int32_max = 2147483647;

LinearSpec decode_linear(Napi::Value value) {
  const Fields f(value, "description.layers[]: a linear layer");
  const Napi::Array shape = f.array("shape");
  LinearSpec linear;
  linear.module = f.text("module");
  const auto size = [&](uint32_t index) {
    const Napi::Value element = shape.Get(index);
    const double number = element.IsNumber() ? element.As<Napi::Number>().DoubleValue() : 0;
    if (shape.Length() != 2 || !(number >= 1 && number <= static_cast<double>(int32_max)) || number != std::floor(number))
      fail(Code::E_ARGUMENT, "description.layers[]: the shape of %s is not [out_features, in_features]", linear.module.c_str());
    return static_cast<int64_t>(number);
  };
  linear.N = size(0);
  linear.K = size(1);
  linear.bias = f.boolean("bias");
  return linear;
}

std::vector<float> decode_numbers(const Fields& f, const char* name) {
  const Napi::Array array = f.array(name);
  std::vector<float> numbers;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value number = array.Get(i);
    if (!number.IsNumber() || !std::isfinite(number.As<Napi::Number>().DoubleValue()))
      fail(Code::E_ARGUMENT, "description: element %u of %s is no finite number", i, name);
    numbers.push_back(number.As<Napi::Number>().FloatValue());
  }
  return numbers;
}

std::vector<LinearSpec> decode_linears(const Fields& f, const char* name) {
  const Napi::Array array = f.array(name);
  std::vector<LinearSpec> linears;
  for (uint32_t i = 0; i < array.Length(); ++i) linears.push_back(decode_linear(array.Get(i)));
  return linears;
}

/// `width`: of its rows, where the description does not say another.
NormSpec decode_norm(const Fields& f, const char* name, int64_t width) { return {f.text_or_empty(name), width}; }

BlockSpec decode_block(Napi::Value value, const Description& d, int64_t query_norm_width, int64_t key_norm_width) {
  const Fields f(value, "description.layers[]");
  const Fields norms(f.value("norms"), "description.layers[].norms");
  const Fields attention(f.value("attention"), "description.layers[].attention");
  const Fields mlp(f.value("mlp"), "description.layers[].mlp");
  BlockSpec block;
  block.before_attention = decode_norm(norms, "beforeAttention", d.hidden);
  block.after_attention = decode_norm(norms, "afterAttention", d.hidden);
  block.before_mlp = decode_norm(norms, "beforeMlp", d.hidden);
  block.after_mlp = decode_norm(norms, "afterMlp", d.hidden);
  block.attention.in = decode_linears(attention, "in");
  block.attention.by_head = attention.has("byHead") && attention.boolean("byHead");
  block.attention.out = decode_linear(attention.value("out"));
  block.attention.q_norm = decode_norm(attention, "qNorm", query_norm_width);
  block.attention.k_norm = decode_norm(attention, "kNorm", key_norm_width);
  block.attention.rope = static_cast<int>(attention.integer("rope", -1, 1024));
  block.attention.query_rope =
      attention.has("queryRope") ? static_cast<int>(attention.integer("queryRope", -1, 1024)) : block.attention.rope;
  block.attention.window = static_cast<int>(attention.integer("window", 0, int32_max));
  block.mlp.in = decode_linears(mlp, "in");
  block.mlp.out = decode_linear(mlp.value("out"));
  return block;
}

/// "cpu", "cuda" or "cuda:1".
std::optional<int> decode_cuda_device(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  const std::string_view digits = std::string_view(device).substr(device.starts_with("cuda:") ? 5 : device.size());
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("0123456789") != digits.npos)
    fail(Code::E_ARGUMENT, "options.device is '%s', expected cpu, cuda or cuda:N", device.c_str());
  return std::stoi(std::string(digits));
}
}  // namespace

RowSwap decode_row_swap(Napi::Value value) {
  const Fields f(value, "swap");
  constexpr int64_t most = 1 << 20;
  return {f.integer("outer", 1, most), f.integer("a", 1, most), f.integer("b", 1, most)};
}

std::vector<StoredTensor> decode_stored(const Fields& options) {
  std::vector<StoredTensor> tensors;
  if (!options.has("stored")) return tensors;
  const Napi::Array array = options.array("stored");
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Fields f(array.Get(i), "stored[]");
    tensors.push_back({f.text("name"), f.text("stored"), f.has("swap") ? decode_row_swap(f.value("swap")) : RowSwap{}});
  }
  return tensors;
}

PackedWeights decode_packed(const Fields& options) {
  PackedWeights packed;
  if (!options.has("packed")) return packed;
  const Fields f(options.value("packed"), "packed");
  constexpr const char* packings[] = {"gptq", "gptq_v2", "awq", "fp8"};
  packed.packing = static_cast<Packing>(f.choice("format", packings) + 1);
  if (!f.has("block")) return packed;
  constexpr int64_t most = 1 << 20;
  const Fields block(f.value("block"), "packed.block");
  packed.block_rows = block.integer("0", 1, most);
  packed.block_columns = block.integer("1", 1, most);
  return packed;
}

Description decode_description(Napi::Value value) {
  const Fields f(value, "description");
  const auto size = [&](const char* name) { return f.integer(name, 1, int32_max); };
  constexpr const char* norms[] = {"rms", "layer"};
  constexpr const char* query_key_norms[] = {"head", "projection"};
  constexpr const char* activations[] = {"silu", "gelu_tanh", "relu", "gelu"};
  Description d;
  d.family = f.text("family");
  d.vocabulary = size("vocabulary");
  d.hidden = size("hidden");
  d.intermediate = size("intermediate");
  d.max_positions = size("maxPositions");
  d.heads = static_cast<int>(size("heads"));
  d.kv_heads = static_cast<int>(size("kvHeads"));
  d.head_dim = static_cast<int>(size("headDim"));
  d.norm = static_cast<NormKind>(f.choice("norm", norms));
  d.norm_epsilon = static_cast<float>(f.number("normEpsilon"));
  d.norm_offset = static_cast<float>(f.number("normOffset"));
  d.activation = static_cast<Activate>(f.choice("activation", activations));
  d.attention_scale = static_cast<float>(f.number("attentionScale"));
  d.attention_soft_cap = static_cast<float>(f.number("attentionSoftCap"));
  d.logit_soft_cap = static_cast<float>(f.number("logitSoftCap"));
  d.embedding_multiplier = static_cast<float>(f.number("embeddingMultiplier"));
  d.residual_multiplier = static_cast<float>(f.number("residualMultiplier"));
  d.logits_divider = static_cast<float>(f.number("logitsDivider"));
  d.tied_head = f.boolean("tiedHead");
  d.transposed_linears = f.boolean("transposedLinears");
  d.gated = f.boolean("gated");
  d.parallel = f.boolean("parallel");
  d.head_bias = f.boolean("headBias");
  d.position_offset = f.integer("positionOffset", 0, 65536);
  if (f.has("alibiSlopes")) d.alibi_slopes = decode_numbers(f, "alibiSlopes");
  if (f.has("textPrefixes")) d.text_prefixes = f.texts("textPrefixes");
  const Napi::Array ropes = f.array("ropes");
  for (uint32_t i = 0; i < ropes.Length(); ++i) {
    const Fields rope(ropes.Get(i), "description.ropes[]");
    RopeDescription description;
    description.attention_factor = static_cast<float>(rope.number("attentionFactor"));
    description.inverse_frequencies = decode_numbers(rope, "inverseFrequencies");
    if (rope.has("long")) {
      const Fields of_long(rope.value("long"), "description.ropes[].long");
      description.long_inverse_frequencies = decode_numbers(of_long, "inverseFrequencies");
      description.original_positions = of_long.integer("originalPositions", 1, int32_max);
    }
    if (rope.has("temperature")) {
      const Fields temperature(rope.value("temperature"), "description.ropes[].temperature");
      description.temperature_beta = static_cast<float>(temperature.number("beta"));
      description.temperature_positions = temperature.integer("positions", 1, int32_max);
    }
    d.ropes.push_back(std::move(description));
  }
  const Napi::Array layers = f.array("layers");
  const bool whole = f.choice("queryKeyNorm", query_key_norms) == 1;
  for (uint32_t i = 0; i < layers.Length(); ++i)
    d.layers.push_back(decode_block(layers.Get(i), d, whole ? d.query_width() : d.head_dim, whole ? d.kv_width() : d.head_dim));
  const Fields names(f.value("names"), "description.names");
  d.embedding = names.text("embedding");
  d.positions = names.text_or_empty("positions");
  d.embedding_norm = names.text_or_empty("embeddingNorm");
  d.final_norm = names.text("finalNorm");
  d.head = names.text("head");
  return d;
}

LoadOptions decode_load_options(Napi::Value value) {
  const Fields f(value, "options");
  constexpr const char* quantizations[] = {"none", "bf16", "int8", "nf4", "fp4"};
  constexpr std::optional<Format> formats[] = {std::nullopt, Format::bf16, Format::int8, Format::nf4, Format::fp4};
  constexpr const char* computes[] = {"f32", "bf16"};
  LoadOptions options;
  options.files = f.texts("files");
  options.description = decode_description(f.value("description"));
  options.stored = decode_stored(f);
  options.packed = decode_packed(f);
  options.quantization = formats[f.choice("quantization", quantizations)];
  options.double_quantization = f.boolean("doubleQuantization");
  options.block = static_cast<int>(f.integer("blockSize", 64, 128));
  options.compute = static_cast<Compute>(f.choice("compute", computes));
  options.threads = static_cast<int>(f.integer("threads", 1, 1024));
  if (f.has("device")) options.device.cuda = decode_cuda_device(f.text("device"));
  if (options.device.cuda) options.device.cuda_libraries = f.texts("cudaLibraries");
  return options;
}

std::vector<AdapterLayer> decode_adapter_layers(Napi::Value value) {
  if (!value.IsArray()) fail(Code::E_ARGUMENT, "layers: expected an array of layers");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<AdapterLayer> layers;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Fields f(array.Get(i), "layers[]");
    layers.push_back({f.text("module"), static_cast<int>(f.integer("rank", 1, 4096)), static_cast<float>(f.number("scaling")),
                      static_cast<float>(f.number("dropout"))});
  }
  return layers;
}

std::vector<int> decode_ranks(Napi::Value value, const char* what) {
  if (!value.IsArray()) fail(Code::E_ARGUMENT, "%s: expected an array of ranks", what);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int> ranks;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value rank = array.Get(i);
    const double number = rank.IsNumber() ? rank.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= most_rank && number == std::floor(number)))
      fail(Code::E_ARGUMENT, "%s: element %u is no whole number from 0 to %d", what, i, most_rank);
    ranks.push_back(static_cast<int>(number));
  }
  return ranks;
}

Recompute decode_recompute(const Fields& fields) {
  constexpr const char* names[] = {"none", "gate-up", "all"};
  return static_cast<Recompute>(fields.choice("recompute", names));
}

PlanRequest decode_plan_request(Napi::Value value) {
  const Fields f(value, "request");
  constexpr const char* optimizers[] = {"adamw", "sgd"};
  PlanRequest request;
  request.tokens = f.integer("tokens", 1, int32_max);
  request.rows = f.integer("rows", 1, int32_max);
  request.longest_row = f.integer("longestRow", 1, int32_max);
  request.supervised = f.integer("supervised", 0, int32_max);
  request.recompute = decode_recompute(f);
  request.adamw = f.choice("optimizer", optimizers) == 0;
  if (f.has("adapters")) request.adapters = f.integer("adapters", 1, 1 << 20);
  if (f.has("examples")) request.examples = f.integer("examples", 1, int32_max);
  request.layers = decode_adapter_layers(f.array("layers"));
  if (f.has("residual")) request.residual = decode_ranks(f.value("residual"), "request.residual");
  return request;
}

ChaChaKey decode_noise_key(Napi::Value value, const char* what) {
  const std::vector<uint8_t> bytes = copy_uint8(value, what);
  if (bytes.size() != 32) fail(Code::E_ARGUMENT, "%s: %zu bytes, expected 32", what, bytes.size());
  ChaChaKey key{};
  for (size_t i = 0; i < 32; ++i) key[i / 4] |= static_cast<uint32_t>(bytes[i]) << 8 * (i % 4);
  return key;
}

Batch decode_batch(const Description& description, Napi::Value value) {
  const Fields f(value, "batch");
  const std::vector<int32_t> ids = copy_int32(f.value("ids"), "batch.ids");
  const std::vector<int32_t> labels = f.has("labels") ? copy_int32(f.value("labels"), "batch.labels") : std::vector<int32_t>();
  const std::vector<int32_t> lengths = copy_int32(f.value("lengths"), "batch.lengths");
  const std::vector<double> weights = f.has("weights") ? copy_float64(f.value("weights"), "batch.weights") : std::vector<double>();
  return make_batch(description, ids, labels, lengths, weights);
}

Napi::Array encode_shape(Napi::Env env, const std::vector<int64_t>& shape) {
  Napi::Array array = Napi::Array::New(env);
  for (size_t i = 0; i < shape.size(); ++i) array.Set(static_cast<uint32_t>(i), static_cast<double>(shape[i]));
  return array;
}

Napi::Object encode_plan(Napi::Env env, const MemoryPlan& plan) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("weights", static_cast<double>(plan.weights));
  object.Set("adapter", static_cast<double>(plan.adapter));
  object.Set("saved", static_cast<double>(plan.saved));
  object.Set("workspace", static_cast<double>(plan.workspace));
  object.Set("loss", static_cast<double>(plan.loss));
  object.Set("total", static_cast<double>(plan.total()));
  return object;
}

}  // namespace fedlora::seam
