// A model without a file: random weights made directly in their packed form, so that shapes of any size fit in the memory they need.
// For benchmarks: see quant/random_matrix.h.
#include "engine/load.h"
#include "quant/random_matrix.h"

namespace fedlora {

std::shared_ptr<Engine> random_engine(const LoadOptions& options, uint64_t seed) {
  const Description& d = checked(options.description);
  std::unique_ptr<Backend> backend = open_backend({options.compute, options.threads, options.device});
  RandomWords words(seed);
  auto weights = std::make_shared<Weights>();
  weights->description = d;
  weights->layers.resize(d.layers.size());
  for (const ModelTensor& tensor : list_tensors(d)) {
    if (!tensor.is_matrix()) {
      const std::vector<float> values(static_cast<size_t>(tensor.N), tensor.is_bias() ? 0.0f : 1.0f);
      vector_of(*weights, tensor) = Buffer<float>(backend->memory(), values);
      continue;
    }
    const Format format = tensor.role == TensorRole::linear ? options.quantization.value_or(Format::bf16) : Format::bf16;
    Matrix& matrix = matrix_of(*weights, tensor) =
        random_matrix(words, format, tensor.N, tensor.K, options.block, options.double_quantization);
    backend->adopt(matrix);
  }
  return make_engine(std::move(weights), std::move(backend));
}

}  // namespace fedlora
