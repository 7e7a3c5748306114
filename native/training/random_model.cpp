// A model without a file: random weights made directly in their packed form, so that shapes of any size fit in the memory they need.
// For benchmarks: the numbers mean nothing, their magnitudes are those of a fresh model (about ±0.02).
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "training/engine.h"

namespace fedlora {

namespace {

/// SplitMix64 (Steele et al. 2014): one multiply-shift chain a word.
class Words {
 public:
  explicit Words(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  /// Uniform in ±bound.
  float symmetric(float bound) { return (static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f) * bound; }

 private:
  uint64_t state_;
};

constexpr float bound = 0.035f;  // uniform ±0.035 has the standard deviation 0.02

void fill_bytes(Words& words, uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t word = words.next();
    for (size_t j = 0; j < std::min<size_t>(8, count - i); ++j) bytes[i + j] = static_cast<uint8_t>(word >> (8 * j));
  }
}

Matrix random_matrix(Words& words, Format format, int64_t N, int64_t K, int block, bool nested) {
  Matrix matrix;
  matrix.format = format;
  matrix.N = N;
  matrix.K = K;
  const int64_t elements = N * K;
  if (format == Format::bf16) {
    matrix.data = AlignedBuffer<uint8_t>(static_cast<size_t>(elements) * 2);
    bf16* values = reinterpret_cast<bf16*>(matrix.data.data());
    for (int64_t i = 0; i < elements; ++i) values[i] = to_bf16(words.symmetric(bound));
    return matrix;
  }
  if (format == Format::f32) {
    matrix.data = AlignedBuffer<uint8_t>(static_cast<size_t>(elements) * 4);
    float* values = reinterpret_cast<float*>(matrix.data.data());
    for (int64_t i = 0; i < elements; ++i) values[i] = words.symmetric(bound);
    return matrix;
  }
  matrix.data = AlignedBuffer<uint8_t>(static_cast<size_t>(format == Format::int8 ? elements : (elements + 1) / 2));
  fill_bytes(words, matrix.data.data(), matrix.data.size());
  if (format == Format::int8) {
    matrix.absmax = AlignedBuffer<float>(static_cast<size_t>(N));
    std::fill(matrix.absmax.begin(), matrix.absmax.end(), bound);
    return matrix;
  }
  matrix.block = block;
  const size_t blocks = static_cast<size_t>(matrix.blocks());
  if (nested) {  // every code of the map, around an offset: absmax = map[q]·scale + offset stays positive
    matrix.nested_absmax = AlignedBuffer<uint8_t>(blocks);
    fill_bytes(words, matrix.nested_absmax.data(), blocks);
    matrix.nested_scale = AlignedBuffer<float>((blocks + nested_block - 1) / nested_block);
    std::fill(matrix.nested_scale.begin(), matrix.nested_scale.end(), 0.25f * bound);
    matrix.nested_offset = bound;
  } else {
    matrix.absmax = AlignedBuffer<float>(blocks);
    std::fill(matrix.absmax.begin(), matrix.absmax.end(), bound);
  }
  return matrix;
}

}  // namespace

std::shared_ptr<Engine> random_engine(const LoadOptions& options, uint64_t seed) {
  const Description& d = options.description;
  check_consistent(d);
  check_supported(d);
  constexpr Format formats[] = {Format::bf16, Format::bf16, Format::int8, Format::nf4, Format::fp4};
  const Format format = formats[static_cast<int>(options.quantization)];
  Words words(seed);
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
