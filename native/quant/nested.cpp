#include "quant/nested.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "quant/codebook.h"

namespace fedlora {

namespace {

constexpr std::array<float, 255> make_midpoints() {
  std::array<float, 255> midpoints{};
  for (size_t i = 0; i < 255; ++i) midpoints[i] = 0.5f * (dynamic_map[i] + dynamic_map[i + 1]);
  return midpoints;
}
constexpr std::array<float, 255> midpoints = make_midpoints();

/// x ∈ [−1, 1]. The grid index is one fused multiply-add, exact in double and then rounded once to float.
uint8_t dynamic_code(float x) {
  constexpr int last = 65535;
  const float half = (std::clamp(x, -1.0f, 1.0f) + 1.0f) * 0.5f;
  const int index = static_cast<int>(static_cast<float>(static_cast<double>(half) * last + 0.5));
  const float snapped = -1.0f + 2.0f * static_cast<float>(index) / static_cast<float>(last);
  return static_cast<uint8_t>(std::lower_bound(midpoints.begin(), midpoints.end(), snapped) - midpoints.begin());
}

}  // namespace

float mean_absmax(const Matrix& matrix) {
  double sum = 0;
  for (float scale : matrix.absmax) sum += scale;
  return static_cast<float>(sum / static_cast<double>(matrix.absmax.size()));
}

void nest_absmax(Matrix& matrix) { nest_absmax(matrix, mean_absmax(matrix)); }

void nest_absmax(Matrix& matrix, float offset) {
  if (!is_4bit(matrix.format) || matrix.nested() || matrix.absmax.empty())
    fail(Code::E_INTERNAL, "only flat nf4 or fp4 scales can be nested; this matrix is %s.", format_name(matrix.format));
  const size_t blocks = matrix.absmax.size(), groups = (blocks + nested_block - 1) / nested_block;
  AlignedBuffer<uint8_t> codes(blocks);
  AlignedBuffer<float> scales(groups);
  for (size_t g = 0; g < groups; ++g) {
    const size_t begin = g * nested_block, end = std::min(blocks, begin + nested_block);
    float largest = 0;
    for (size_t b = begin; b < end; ++b) largest = std::max(largest, std::fabs(matrix.absmax[b] - offset));
    scales[g] = largest;
    if (largest == 0) continue;
    const float inverse = 1.0f / largest;
    for (size_t b = begin; b < end; ++b) codes[b] = dynamic_code((matrix.absmax[b] - offset) * inverse);
  }
  matrix.nested_absmax = std::move(codes);
  matrix.nested_scale = std::move(scales);
  matrix.nested_offset = offset;
  matrix.absmax = AlignedBuffer<float>();
}

float block_absmax(const Matrix& matrix, int64_t block) {
  const size_t b = static_cast<size_t>(block);
  if (!matrix.nested()) return matrix.absmax[b];
  const float difference = dynamic_map[matrix.nested_absmax[b]] * matrix.nested_scale[b / nested_block];
  return difference + matrix.nested_offset;
}

}  // namespace fedlora
