// A model without a file: random weights made directly in their packed form, so that shapes of any size fit in the memory they need.
// For benchmarks: see quant/random_matrix.h.
#include "base/error.h"
#include "quant/random_matrix.h"
#include "engine/engine.h"

namespace fedlora {

std::shared_ptr<Engine> random_engine(const LoadOptions& options, uint64_t seed) {
  const Description& d = options.description;
  check_consistent(d);
  check_supported(d);
  constexpr Format formats[] = {Format::bf16, Format::bf16, Format::int8, Format::nf4, Format::fp4};
  const Format format = formats[static_cast<int>(options.quantization)];
  RandomWords words(seed);
  auto weights = std::make_shared<Weights>();
  weights->description = d;
  weights->embedding = random_matrix(words, Format::bf16, d.vocabulary, d.hidden, 0, false);
  if (!d.tied_head) weights->head = random_matrix(words, Format::bf16, d.vocabulary, d.hidden, 0, false);
  weights->final_norm.assign(static_cast<size_t>(d.hidden), 1.0f);
  for (const LayerDescription& layer : d.layers) {
    LayerWeights block;
    block.input_norm = block.mlp_norm = weights->final_norm;
    if (d.query_key_norm == QueryKeyNorm::head) block.q_norm = block.k_norm = std::vector<float>(static_cast<size_t>(d.head_dim), 1.0f);
    for (int linear = 0; linear < linears_per_layer; ++linear) {
      block.linear[linear] =
          random_matrix(words, format, d.out_features(linear), d.in_features(linear), options.block, options.double_quantization);
      if (layer.has_bias(linear)) block.bias[linear].assign(static_cast<size_t>(d.out_features(linear)), 0.0f);
    }
    weights->layers.push_back(std::move(block));
  }
  return make_engine(options, std::move(weights));
}

}  // namespace fedlora
