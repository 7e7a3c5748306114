#include "quant/random_matrix.h"

#include <algorithm>

#include "base/half.h"

namespace fedlora {

namespace {
constexpr float bound = 0.035f;  // uniform ±0.035 has the standard deviation 0.02

void fill_bytes(RandomWords& words, uint8_t* bytes, size_t count) {
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t word = words.next();
    for (size_t j = 0; j < std::min<size_t>(8, count - i); ++j) bytes[i + j] = static_cast<uint8_t>(word >> (8 * j));
  }
}
}  // namespace

Matrix random_matrix(RandomWords& words, Format format, int64_t N, int64_t K, int block, bool nested) {
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

}  // namespace fedlora
