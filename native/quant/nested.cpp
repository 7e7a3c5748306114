#include "quant/nested.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "quant/codebook.h"
#include "quant/packed.h"

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

/// Sum of `rows` vectors of `width` floats, lane by lane, in torch's order: row i goes to strand i % 4; a strand adds 2^power rows into
/// its first level, which is then carried into the next level, and so on through four levels.
template <size_t width>
std::array<float, width> strand_sum(const float* x, size_t rows) {
  constexpr size_t strands = 4, levels = 4;
  float sums[levels][strands][width] = {};
  const auto add = [](float (&to)[width], const float* from) {
    for (size_t lane = 0; lane < width; ++lane) to[lane] += from[lane];
  };
  const size_t turns = rows / strands;
  const size_t power = std::max<size_t>(4, static_cast<size_t>(std::bit_width(turns > 0 ? turns - 1 : 0)) / levels);
  const size_t step = size_t{1} << power;
  for (size_t turn = 0; turn < turns;) {
    for (size_t strand = 0; strand < strands; ++strand) add(sums[0][strand], x + (turn * strands + strand) * width);
    if (++turn % step != 0) continue;
    for (size_t level = 1; level < levels; ++level) {
      for (size_t strand = 0; strand < strands; ++strand) {
        add(sums[level][strand], sums[level - 1][strand]);
        std::fill_n(sums[level - 1][strand], width, 0.0f);
      }
      if ((turn & ((step - 1) << (level * power))) != 0) break;
    }
  }
  for (size_t level = 1; level < levels; ++level)
    for (size_t strand = 0; strand < strands; ++strand) add(sums[0][strand], sums[level][strand]);
  for (size_t row = turns * strands; row < rows; ++row) add(sums[0][0], x + row * width);
  for (size_t strand = 1; strand < strands; ++strand) add(sums[0][0], sums[0][strand]);
  std::array<float, width> result;
  std::copy_n(sums[0][0], width, result.begin());
  return result;
}

/// The float32 sum of torch's CPU kernels on one thread, bit for bit: eight lanes whatever the instruction set, then the rest, then the
/// lanes. Source: ATen/native/cpu/SumKernel.cpp of PyTorch 2.13.
float torch_sum(const float* x, size_t count) {
  constexpr size_t lanes = 8;
  if (count < lanes) return strand_sum<1>(x, count)[0];
  const std::array<float, lanes> sums = strand_sum<lanes>(x, count / lanes);
  float sum = 0;
  for (size_t i = count / lanes * lanes; i < count; ++i) sum += x[i];
  for (const float lane : sums) sum += lane;
  return sum;
}

}  // namespace

float mean_absmax(const Matrix& matrix) {
  const size_t count = matrix.absmax.size();
  return torch_sum(matrix.absmax.data(), count) / static_cast<float>(count);
}

void nest_absmax(Matrix& matrix) { nest_absmax(matrix, mean_absmax(matrix)); }

void nest_absmax(Matrix& matrix, float offset) {
  if (!is_4bit(matrix.format) || matrix.nested() || matrix.absmax.empty())
    fail(Code::E_INTERNAL, "only flat nf4 or fp4 scales can be nested; this matrix is %s.", format_name(matrix.format));
  const PackedSizes sizes = packed_sizes(matrix.format, matrix.N, matrix.K, matrix.block, true);
  const size_t blocks = sizes.nested_absmax;
  AlignedBuffer<uint8_t> codes(blocks);
  AlignedBuffer<float> scales(sizes.nested_scale);
  for (size_t g = 0; g < scales.size(); ++g) {
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
