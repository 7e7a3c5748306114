// sign: one bit an element and a scale a block. Two sweeps: scales, then signs.
#include <algorithm>
#include <cstring>

#include "base/half.h"
#include "compression/encode.h"

namespace fedlora {

namespace {
/// The mean as the nearest bf16, at most the largest finite one.
bf16 mean_scale(double sum, int64_t count) {
  constexpr uint16_t largest_finite = 0x7f7f;
  return {std::min(to_bf16(static_cast<float>(sum / static_cast<double>(count))).bits, largest_finite)};
}

/// Zeros behind the targets, up to a whole block.
void fill_last_block(float* targets, int64_t count) { std::fill(targets + count, targets + sign_block_count(count) * sign_block, 0.0f); }
}  // namespace

void encode_sign(const EncodeInput& input, const MessagePlace& place, const CodecKernels& kernels) {
  static_assert(encode_chunk % sign_block == 0);
  constexpr int64_t chunk_blocks = encode_chunk / sign_block;
  const int64_t blocks = sign_block_count(input.count);
  std::vector<bf16> scales(static_cast<size_t>(blocks));
  largest_target(input, kernels, [&](int64_t first, int64_t count, float* targets, int) {
    fill_last_block(targets, count);
    double sums[chunk_blocks];
    kernels.sum_magnitudes(targets, sign_block_count(count), sums);
    for (int64_t b = 0; b < sign_block_count(count); ++b)
      scales[static_cast<size_t>(first / sign_block + b)] = mean_scale(sums[b], std::min(sign_block, count - b * sign_block));
  });

  const int64_t size = message_bytes(Codec::sign, input.count);
  uint8_t* const message = place(size);
  uint8_t* const body = message + update_header_bytes;
  if (blocks > 0) std::memcpy(body, scales.data(), scales.size() * 2);
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, float* targets, int) {
    alignas(64) uint8_t bits[encode_chunk / 8];
    alignas(64) float residual[encode_chunk];
    const int64_t in_chunk = sign_block_count(count);
    float scale[chunk_blocks];
    for (int64_t b = 0; b < in_chunk; ++b) scale[b] = to_f32(scales[static_cast<size_t>(first / sign_block + b)]);
    fill_last_block(targets, count);
    kernels.encode_signs(targets, scale, in_chunk, bits, input.new_residual ? residual : nullptr);
    if (input.new_residual) std::memcpy(input.new_residual_at(first), residual, static_cast<size_t>(count) * 4);
    std::memcpy(body + 2 * blocks + first / 8, bits, static_cast<size_t>((count + 7) / 8));
  });
  UpdateHeader header;
  header.version = 2, header.codec = Codec::sign, header.bits = 1, header.parameter = static_cast<int>(sign_block_log2);
  header.count = header.sent = input.count;
  seal_message(header, message, size, input.pool);
}

}  // namespace fedlora
