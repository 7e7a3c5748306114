// From a checkpoint to an engine: names and shapes checked first, then one tensor at a time read, packed and released.
#include <cstdlib>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "io/bnb_checkpoint.h"
#include "io/matrix_reader.h"
#include "engine/engine.h"
#include "engine/model_tensors.h"
#include "engine/needed_tensors.h"
#include "engine/open_backend.h"
#include "io/plain_tensor.h"

namespace fedlora {

namespace {

std::optional<Format> wanted_format(Quantization quantization) {
  switch (quantization) {
    case Quantization::bf16:
      return Format::bf16;
    case Quantization::int8:
      return Format::int8;
    case Quantization::nf4:
      return Format::nf4;
    case Quantization::fp4:
      return Format::fp4;
    case Quantization::none:
      break;
  }
  return std::nullopt;
}

/// Embedding and head stay as stored, unless the whole base was asked for in bf16.
std::optional<Format> wanted_table_format(Quantization quantization) {
  return quantization == Quantization::bf16 ? std::optional(Format::bf16) : std::nullopt;
}

/// The format a weight will have once loaded.
Format format_of(const TensorSource& source, const std::string& name, std::optional<Format> wanted) {
  if (wanted) return *wanted;
  if (const std::optional<Format> stored = bnb_format(source, name)) return *stored;
  const DType dtype = source.get(name).dtype;
  return dtype == DType::f16 ? Format::f16 : dtype == DType::bf16 ? Format::bf16 : Format::f32;
}

bool profile_wanted() {
  const char* value = std::getenv("FEDLORA_PROFILE");
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}

const Description& checked(const Description& description) {
  check_consistent(description);
  check_supported(description);
  return description;
}

class Loader {
 public:
  Loader(const LoadOptions& options, const std::function<void(int64_t, int64_t)>& progress)
      : options_(options),
        progress_(progress),
        description_(checked(options.description)),
        tensors_(options.files, description_),
        pool_(options.threads) {
    description_.tied_head = tensors_.tied_head();
  }

  std::shared_ptr<Weights> run() {
    const Description& d = description_;
    tensors_.check(d);
    const NeededTensors needed = needed_tensors(d);
    total_ = static_cast<int64_t>(needed.plain.size() + needed.linears.size());
    auto weights = std::make_shared<Weights>();
    weights->description = d;
    weights->embedding = table(d.embedding);
    if (!d.tied_head) weights->head = table(d.head);
    weights->final_norm = vector(d.final_norm + ".weight", d.norm_offset);
    for (const LayerDescription& layer : d.layers) weights->layers.push_back(block(layer));
    return weights;
  }

  std::vector<std::string> unused() const { return tensors_.unused(); }

 private:
  LayerWeights block(const LayerDescription& layer) {
    const Description& d = description_;
    LayerWeights weights;
    weights.input_norm = vector(layer.input_norm + ".weight", d.norm_offset);
    weights.mlp_norm = vector(layer.mlp_input_norm + ".weight", d.norm_offset);
    if (d.query_key_norm == QueryKeyNorm::head) {
      weights.q_norm = vector(layer.q_norm + ".weight", d.norm_offset);
      weights.k_norm = vector(layer.k_norm + ".weight", d.norm_offset);
    }
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      const std::string name = layer.linear[linear] + ".weight";
      Matrix matrix =
          read_matrix(tensors_, name, wanted_format(options_.quantization), options_.block, options_.double_quantization, pool_);
      if (matrix.N != d.out_features(linear) || matrix.K != d.in_features(linear))
        fail(Code::E_SHAPE, "tensor %s is [%lld, %lld], expected [%lld, %lld] by config.json", name.c_str(),
             static_cast<long long>(matrix.N), static_cast<long long>(matrix.K), static_cast<long long>(d.out_features(linear)),
             static_cast<long long>(d.in_features(linear)));
      weights.linear[linear] = std::move(matrix);
      if (layer.has_bias(linear)) weights.bias[linear] = vector(layer.linear[linear] + ".bias", 0);
      advance();
    }
    return weights;
  }

  Matrix table(const std::string& module) {
    const std::string name = module + ".weight";
    Matrix matrix = read_matrix(tensors_, name, wanted_table_format(options_.quantization), 0, false, pool_);
    advance();
    return matrix;
  }

  std::vector<float> vector(const std::string& name, float offset) {
    std::vector<float> values = read_vector(tensors_, name);
    for (float& value : values) value += offset;
    advance();
    return values;
  }

  void advance() {
    ++done_;
    if (progress_) progress_(done_, total_);
  }

  const LoadOptions& options_;
  const std::function<void(int64_t, int64_t)>& progress_;
  Description description_;
  ModelTensors tensors_;
  ThreadPool pool_;
  int64_t done_ = 0, total_ = 0;
};

}  // namespace

ModelMemory measure(const Weights& weights) {
  ModelMemory memory;
  memory.embedding = weights.embedding.bytes();
  memory.head = weights.head.bytes();
  memory.norms = weights.final_norm.size() * sizeof(float);
  for (const LayerWeights& layer : weights.layers) {
    memory.norms += (layer.input_norm.size() + layer.mlp_norm.size() + layer.q_norm.size() + layer.k_norm.size()) * sizeof(float);
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      memory.linears += layer.linear[linear].bytes();
      memory.norms += layer.bias[linear].size() * sizeof(float);
    }
  }
  return memory;
}

std::shared_ptr<Engine> make_engine(const LoadOptions& options, std::shared_ptr<const Weights> weights) {
  auto engine = std::make_shared<Engine>();
  engine->memory = measure(*weights);
  engine->threads = options.threads;
  std::unique_ptr<Backend> backend = open_backend({options.compute, options.threads});
  if (profile_wanted()) {
    auto profiled = std::make_unique<Profiled>(std::move(backend));
    engine->profile = profiled.get();
    backend = std::move(profiled);
  }
  engine->transformer = std::make_unique<Transformer>(std::move(weights), std::move(backend));
  return engine;
}

std::shared_ptr<Engine> load_engine(const LoadOptions& options, const std::function<void(int64_t, int64_t)>& progress) {
  if (options.threads < 1 || options.threads > 1024) fail(Code::E_ARGUMENT, "threads is %d, expected 1 to 1024", options.threads);
  Loader loader(options, progress);
  std::shared_ptr<Engine> engine = make_engine(options, loader.run());
  engine->unused = loader.unused();
  return engine;
}

size_t plan_weights(const LoadOptions& options) {
  Description d = checked(options.description);
  const ModelTensors tensors(options.files, d);
  d.tied_head = tensors.tied_head();
  tensors.check(d);
  double bytes = 0;
  const auto add = [&](Format format, double elements, int64_t rows) {
    const double block = options.block;
    switch (format) {
      case Format::nf4:
      case Format::fp4:
        bytes +=
            elements / 2 + (options.double_quantization ? elements / block + 4 * elements / (block * nested_block) : 4 * elements / block);
        break;
      case Format::int8:
        bytes += elements + 4.0 * static_cast<double>(rows);
        break;
      case Format::f32:
        bytes += 4 * elements;
        break;
      default:
        bytes += 2 * elements;
    }
  };
  for (const auto& [name, shape] : needed_tensors(d).plain) {
    double elements = 1;
    for (int64_t extent : shape) elements *= static_cast<double>(extent);
    const bool is_table = shape.size() == 2;
    add(is_table ? format_of(tensors, name, wanted_table_format(options.quantization)) : Format::f32, elements, shape[0]);
  }
  for (const LayerDescription& layer : d.layers)
    for (int linear = 0; linear < linears_per_layer; ++linear)
      add(format_of(tensors, layer.linear[linear] + ".weight", wanted_format(options.quantization)),
          static_cast<double>(d.out_features(linear)) * static_cast<double>(d.in_features(linear)), d.out_features(linear));
  return static_cast<size_t>(bytes);
}

}  // namespace fedlora
