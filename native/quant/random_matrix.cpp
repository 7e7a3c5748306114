#include "quant/random_matrix.h"

#include <algorithm>

#include "base/half.h"
#include "quant/packed.h"

namespace fedlora {

namespace {
constexpr float bound = 0.035f;  // uniform ±0.035 has the standard deviation 0.02

void fill_bytes(RandomWords& words, AlignedBuffer<uint8_t>& bytes) {
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t word = words.next();
    for (size_t j = 0; j < std::min<size_t>(8, bytes.size() - i); ++j) bytes[i + j] = static_cast<uint8_t>(word >> (8 * j));
  }
}
}  // namespace

Matrix random_matrix(RandomWords& words, Format format, int64_t N, int64_t K, int block, bool nested) {
  Matrix matrix = make_matrix(format, N, K, block, nested);
  if (format == Format::f32 || format == Format::bf16) {
    for (int64_t i = 0; i < matrix.elements(); ++i) {
      const float value = words.symmetric(bound);
      if (format == Format::f32)
        reinterpret_cast<float*>(matrix.data.data())[i] = value;
      else
        reinterpret_cast<bf16*>(matrix.data.data())[i] = to_bf16(value);
    }
    return matrix;
  }
  fill_bytes(words, matrix.data);
  std::fill(matrix.absmax.begin(), matrix.absmax.end(), bound);
  if (matrix.nested()) {  // every code of the map, around an offset: absmax = map[q]·scale + offset stays positive
    fill_bytes(words, matrix.nested_absmax);
    std::fill(matrix.nested_scale.begin(), matrix.nested_scale.end(), 0.25f * bound);
    matrix.nested_offset = bound;
  }
  return matrix;
}

}  // namespace fedlora
