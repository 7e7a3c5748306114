#include "quant/four_bit.h"

#include <atomic>

#include "base/error.h"
#include "quant/codebook.h"
#include "quant/nested.h"
#include "quant/packed.h"
#include "quant/weight.h"

namespace fedlora {

namespace {

constexpr int max_block = 128;
constexpr float smallest_scale = 1e-38f;

/// place[i] = position of x[i] on the ladder. The inner loop has a constant count and no branch, so that it becomes vector compares.
inline void climb(const Ladder4& ladder, const float* x, int count, int32_t* place) {
  for (int i = 0; i < count; ++i) {
    int32_t below = 0;
    for (int j = 0; j < 15; ++j) below += ladder.bound[static_cast<size_t>(j)] < x[i];
    place[i] = below;
  }
}

/// `x` holds a whole block of scaled numbers, or what is left padded with 0 to an even count.
inline void pack(const Ladder4& ladder, bool sorted, const float* x, int count, uint8_t* out) {
  int32_t place[max_block];
  climb(ladder, x, count, place);
  if (!sorted)
    for (int i = 0; i < count; ++i) place[i] = ladder.code[static_cast<size_t>(place[i])];
  for (int i = 0; i < count / 2; ++i) out[i] = static_cast<uint8_t>(place[2 * i] << 4 | place[2 * i + 1]);
}

}  // namespace

Matrix encode_4bit(Format format, const TensorView& weight, int block, ThreadPool& pool) {
  if (!is_4bit(format)) fail(Code::E_INTERNAL, "encode_4bit was asked for %s.", format_name(format));
  if (block != 64 && block != 128) fail(Code::E_ARGUMENT, "the block size of %s is %d, expected 64 or 128.", format_name(format), block);
  check_weight(weight);
  Matrix matrix = make_matrix(format, weight.shape[0], weight.shape[1], block, false);
  const int64_t count = matrix.elements(), blocks = matrix.blocks(), full_blocks = count / block;

  const Ladder4& ladder = ladder_of(format);
  const bool sorted = format == Format::nf4;
  std::atomic<bool> finite{true};
  constexpr int64_t blocks_per_task = 512;
  pool.run((blocks + blocks_per_task - 1) / blocks_per_task, [&](int64_t task, int) {
    float x[max_block];
    const int64_t end = std::min(blocks, (task + 1) * blocks_per_task);
    for (int64_t b = task * blocks_per_task; b < end; ++b) {
      const int length = static_cast<int>(std::min<int64_t>(block, count - b * block));
      load_weight(weight, b * block, length, x);
      const int32_t largest = max_magnitude_bits(x, length);
      if (largest >= infinity_bits) finite.store(false, std::memory_order_relaxed);
      const float absmax = std::bit_cast<float>(largest), clamped = std::max(absmax, smallest_scale);
      int padded = length;
      if (b < full_blocks) {
        const float inverse = 1.0f / clamped;
        for (int i = 0; i < length; ++i) x[i] *= inverse;
        matrix.absmax[static_cast<size_t>(b)] = absmax;
      } else {
        for (int i = 0; i < length; ++i) x[i] /= clamped;
        if (length % 2 != 0) x[padded++] = 0.0f;
        matrix.absmax[static_cast<size_t>(b)] = clamped;
      }
      pack(ladder, sorted, x, padded, matrix.data.data() + b * block / 2);
    }
  });
  if (!finite) fail_nonfinite(weight, std::bit_cast<float>(infinity_bits));
  return matrix;
}

void decode_4bit(const Matrix& matrix, int64_t first, int64_t count, float* out) {
  const Codebook4& codebook = codebook_of(matrix.format);
  for (int64_t i = first; i < first + count; ++i) {
    const uint8_t byte = matrix.data[static_cast<size_t>(i / 2)];
    const uint8_t code = i % 2 == 0 ? byte >> 4 : byte & 15;
    out[i - first] = codebook[code] * block_absmax(matrix, i / matrix.block);
  }
}

}  // namespace fedlora
