// From a checkpoint to an engine: names and shapes checked first, then one tensor at a time read, packed and released.
#include "engine/load.h"

#include <algorithm>

#include "base/error.h"
#include "base/half.h"
#include "engine/model_tensors.h"
#include "io/bnb_checkpoint.h"
#include "io/matrix_reader.h"
#include "io/plain_tensor.h"
#include "quant/packed.h"
#include "quant/plain.h"

namespace fedlora {

namespace {

/// The format that a matrix gets while it is loaded; none: as stored.
std::optional<Format> wanted_format(const LoadOptions& options, const ModelTensor& tensor) {
  const bool all = options.quantization == Format::bf16;
  return all || tensor.role == TensorRole::linear ? options.quantization : std::nullopt;
}

/// The format that it will have once loaded.
Format format_of(const LoadOptions& options, const ModelTensors& tensors, const ModelTensor& tensor) {
  std::optional<Format> format = wanted_format(options, tensor);
  if (!format) format = bnb_format(tensors, tensor.name());
  if (!format) format = plain_format(tensors.describe(tensor.name()).dtype);
  return format.value_or(Format::f32);
}

/// A checkpoint that has every tensor of a description that runs.
struct Source {
  explicit Source(const LoadOptions& options)
      : description(checked(options.description)), tensors(options.files, description, options.stored, options.packed) {
    description.tied_head = tensors.tied_head();
    tensors.check(description);
  }
  Description description;
  ModelTensors tensors;
};

Need need_of(const LoadOptions& options, const Source& source) {
  Need need;
  need.head_dim = source.description.head_dim;
  need.traits = further_traits(source.description);
  for (const ModelTensor& tensor : list_tensors(source.description)) {
    if (!tensor.is_matrix()) continue;
    const Format format = format_of(options, source.tensors, tensor);
    if (tensor.role == TensorRole::embedding || tensor.role == TensorRole::positions)
      need.embedding = format;
    else if (tensor.role == TensorRole::head)
      need.head = format;
    else if (std::find(need.linears.begin(), need.linears.end(), format) == need.linears.end())
      need.linears.push_back(format);
  }
  return need;
}

/// Of what `backend` will hold.
WeightBytes weight_bytes(const LoadOptions& options, const Source& source, const Backend& backend) {
  const bool nested = options.double_quantization && backend.keeps_nested_scales();
  WeightBytes bytes;
  for (const ModelTensor& tensor : list_tensors(source.description)) {
    size_t packed = static_cast<size_t>(tensor.N) * sizeof(float), decoded = packed;
    if (tensor.is_matrix()) {
      const Format format = format_of(options, source.tensors, tensor);
      packed = decoded = packed_bytes(format, tensor.N, tensor.K, options.block, nested);
      if (is_4bit(format) || format == Format::int8) decoded = static_cast<size_t>(tensor.N * tensor.K) * sizeof(bf16);
    }
    bytes.packed += packed;
    bytes.decoded += decoded;
  }
  return bytes;
}

/// E_MEMORY, before a weight is read, where the backend's memory cannot hold them.
void check_room(size_t bytes, const Backend& backend) {
  const size_t room = backend.memory()->available();
  if (bytes > room)
    fail(Code::E_MEMORY, "the weights take %.2f GB, %s has %.2f GB free. A smaller quantization (nf4: about a quarter of bf16) may fit",
         static_cast<double>(bytes) * 1e-9, backend.name().c_str(), static_cast<double>(room) * 1e-9);
}

Matrix load_matrix(const LoadOptions& options, const ModelTensors& tensors, const ModelTensor& tensor, ThreadPool& pool) {
  Matrix matrix = read_matrix(tensors, tensor.name(), wanted_format(options, tensor), options.block, options.double_quantization, pool);
  if (matrix.N != tensor.N || matrix.K != tensor.K)
    fail(Code::E_SHAPE, "tensor %s is [%lld, %lld], expected [%lld, %lld] by the model's config", tensor.name().c_str(),
         static_cast<long long>(matrix.N), static_cast<long long>(matrix.K), static_cast<long long>(tensor.N),
         static_cast<long long>(tensor.K));
  return matrix;
}

}  // namespace

std::shared_ptr<Engine> load_engine(const LoadOptions& options, const std::function<void(int64_t, int64_t)>& progress) {
  return load_engine(options, open_backend({options.compute, options.threads, options.device}), progress);
}

std::shared_ptr<Engine> load_engine(const LoadOptions& options, std::unique_ptr<Backend> backend,
                                    const std::function<void(int64_t, int64_t)>& progress) {
  const Source source(options);
  check_supported(*backend, need_of(options, source), source.description.family);
  const WeightBytes bytes = weight_bytes(options, source, *backend);
  check_room(bytes.packed, *backend);
  backend->expect(bytes);
  const ModelTensors& tensors = source.tensors;
  const std::vector<ModelTensor> list = list_tensors(source.description);
  ThreadPool pool(backend->threads());
  auto weights = std::make_shared<Weights>();
  weights->description = source.description;
  weights->layers.resize(source.description.layers.size());
  int64_t done = 0;
  for (const ModelTensor& tensor : list) {
    if (tensor.is_matrix()) {
      Matrix& matrix = matrix_of(*weights, tensor) = load_matrix(options, tensors, tensor, pool);
      backend->adopt(matrix);
    } else {
      const float offset = tensor.is_bias() ? 0 : source.description.norm_offset;
      std::vector<float> values = read_vector(tensors, tensor.name());
      for (float& value : values) value += offset;
      vector_of(*weights, tensor) = Buffer<float>(backend->memory(), values);
    }
    if (progress) progress(++done, static_cast<int64_t>(list.size()));
  }
  std::shared_ptr<Engine> engine = make_engine(std::move(weights), std::move(backend));
  engine->unused = tensors.unused();
  return engine;
}

size_t plan_weights(const LoadOptions& options, const Backend& backend) {
  const Source source(options);
  check_supported(backend, need_of(options, source), source.description.family);
  return weight_bytes(options, source, backend).packed;
}

}  // namespace fedlora
