// Codecs that send every element: f32 as it is, bf16 rounded, int8 and int4 as stochastic multiples of a scale per block.
// Two sweeps: the first finds what is not finite, and the block maxima; the second encodes.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/half.h"
#include "compression/encode.h"

namespace fedlora {

namespace {
/// The smallest bf16 s with limit · s ≥ largest, so that no element of the block needs to be clipped; when limit · s would not be
/// finite, the one below. limit · s is exact in f32: 7 and 8 bits.
bf16 block_scale(uint32_t largest_bits, int limit) {
  const float largest = std::bit_cast<float>(largest_bits);
  const uint32_t quotient = std::bit_cast<uint32_t>(largest / static_cast<float>(limit));
  uint16_t scale = static_cast<uint16_t>((quotient + 0xffffu) >> 16);
  const auto reach = [limit](uint16_t bits) { return static_cast<float>(limit) * to_f32(bf16{bits}); };
  if (reach(scale) < largest) ++scale;
  // One step more than the limit must stay finite too: a reader may meet the code −limit − 1.
  while (!(static_cast<float>(limit + 1) * to_f32(bf16{scale}) <= 0x1.fffffep127f)) --scale;
  return {scale};
}

void write_f32(const EncodeInput& input, uint8_t* body, const CodecKernels& kernels) {
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, const float* targets, int) {
    std::memcpy(body + 4 * first, targets, static_cast<size_t>(count) * 4);
    if (input.new_residual) std::fill_n(input.new_residual + first, count, 0.0f);
  });
}

void write_bf16(const EncodeInput& input, uint8_t* body, const CodecKernels& kernels) {
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, const float* targets, int) {
    alignas(64) uint16_t words[encode_chunk];
    kernels.encode_bf16(targets, count, words, input.new_residual_at(first));
    std::memcpy(body + 2 * first, words, static_cast<size_t>(count) * 2);
  });
}

constexpr int64_t chunk_blocks = encode_chunk / update_block;
static_assert(encode_chunk % update_block == 0);

int code_limit(Codec codec) { return codec == Codec::int4 ? 7 : 127; }

/// Zeros behind the targets, up to a whole block.
void fill_last_block(float* targets, int64_t count) { std::fill(targets + count, targets + block_count(count) * update_block, 0.0f); }

void write_blocks(const EncodeInput& input, Codec codec, uint64_t seed, const std::vector<bf16>& scales, uint8_t* body,
                  const CodecKernels& kernels) {
  if (!scales.empty()) std::memcpy(body, scales.data(), scales.size() * 2);
  uint8_t* const codes_out = body + 2 * scales.size();
  for_each_chunk(input, kernels, [&](int64_t first, int64_t count, float* targets, int) {
    alignas(64) int8_t codes[encode_chunk];
    alignas(64) float residual[encode_chunk];
    const int64_t in_chunk = block_count(count);
    float scale[chunk_blocks];
    for (int64_t b = 0; b < in_chunk; ++b) scale[b] = to_f32(scales[static_cast<size_t>(first / update_block + b)]);
    fill_last_block(targets, count);
    const bool whole = count == in_chunk * update_block;
    float* residual_out = !input.new_residual ? nullptr : whole ? input.new_residual_at(first) : residual;
    kernels.quantize(targets, scale, in_chunk, code_limit(codec), seed, static_cast<uint64_t>(first), codes, residual_out);
    if (input.new_residual && !whole) std::memcpy(input.new_residual_at(first), residual, static_cast<size_t>(count) * 4);
    if (codec == Codec::int4)
      kernels.pack_int4(codes, (count + 1) / 2, codes_out + first / 2);  // targets beyond the end are 0 and so are their codes
    else
      std::memcpy(codes_out + first, codes, static_cast<size_t>(count));
  });
}
}  // namespace

std::vector<bf16> measure_dense(const EncodeInput& input, Codec codec, const CodecKernels& kernels) {
  if (codec != Codec::int8 && codec != Codec::int4) {
    largest_target(input, kernels);
    return {};
  }
  std::vector<bf16> scales(static_cast<size_t>(block_count(input.count)));
  largest_target(input, kernels, [&](int64_t first, int64_t count, float* targets, int) {
    fill_last_block(targets, count);
    uint32_t largest[chunk_blocks];
    kernels.block_largest(targets, block_count(count), largest);
    for (int64_t b = 0; b < block_count(count); ++b)
      scales[static_cast<size_t>(first / update_block + b)] = block_scale(largest[b], code_limit(codec));
  });
  return scales;
}

void write_dense_body(const EncodeInput& input, Codec codec, uint64_t seed, const std::vector<bf16>& scales, uint8_t* body,
                      const CodecKernels& kernels) {
  if (codec == Codec::f32) return write_f32(input, body, kernels);
  if (codec == Codec::bf16) return write_bf16(input, body, kernels);
  write_blocks(input, codec, seed, scales, body, kernels);
}

void encode_dense(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels) {
  const std::vector<bf16> scales = measure_dense(input, options.codec, kernels);
  const int64_t size = message_bytes(options.codec, input.count);
  uint8_t* const message = place(size);
  write_dense_body(input, options.codec, options.seed, scales, message + update_header_bytes, kernels);
  constexpr int bits_of[] = {32, 16, 8, 4};
  UpdateHeader header;
  header.codec = options.codec, header.count = header.sent = input.count;
  header.bits = bits_of[static_cast<int>(options.codec)];
  header.parameter = header.bits <= 8 ? static_cast<int>(update_block_log2) : 0;
  seal_message(header, message, size, input.pool);
}

}  // namespace fedlora
