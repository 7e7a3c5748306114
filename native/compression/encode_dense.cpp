// Codecs that send every element: f32 as it is, bf16 rounded, int8 and int4 as stochastic multiples of a scale per block.
// Two sweeps: the first finds what is not finite (and the block maxima) while nothing has been written, the second encodes.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/half.h"
#include "compression/encode.h"

namespace fedlora {

namespace {
void check_all_finite(const EncodeInput& input, const CodecKernels& kernels) {
  alignas(64) float targets[encode_chunk];
  for (int64_t first = 0; first < input.count; first += encode_chunk)
    finite_targets(input, first, std::min(encode_chunk, input.count - first), targets, kernels);
}

UpdateHeader dense_header(Codec codec, int bits, int parameter, int64_t count) {
  UpdateHeader header;
  header.codec = codec, header.bits = bits, header.parameter = parameter, header.count = header.sent = count;
  return header;
}

void resize_message(Codec codec, int64_t count, std::vector<uint8_t>& bytes) {
  const size_t size = static_cast<size_t>(update_header_bytes + dense_body_bytes(codec, count));
  if (bytes.capacity() < size) bytes = std::vector<uint8_t>(size);  // nothing of the old content is worth a copy
  bytes.resize(size);
}

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
}  // namespace

void encode_f32(EncodeInput input, std::vector<uint8_t>& bytes, const CodecKernels& kernels) {
  check_all_finite(input, kernels);
  resize_message(Codec::f32, input.count, bytes);
  alignas(64) float targets[encode_chunk];
  uint8_t* body = bytes.data() + update_header_bytes;
  for (int64_t first = 0; first < input.count; first += encode_chunk) {
    const int64_t count = std::min(encode_chunk, input.count - first);
    kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
    std::memcpy(body + 4 * first, targets, static_cast<size_t>(count) * 4);
  }
  if (input.residual) std::fill_n(input.residual, input.count, 0.0f);
  seal_message(dense_header(Codec::f32, 32, 0, input.count), bytes);
}

void encode_bf16(EncodeInput input, std::vector<uint8_t>& bytes, const CodecKernels& kernels) {
  check_all_finite(input, kernels);
  resize_message(Codec::bf16, input.count, bytes);
  alignas(64) float targets[encode_chunk];
  alignas(64) uint16_t words[encode_chunk];
  uint8_t* body = bytes.data() + update_header_bytes;
  for (int64_t first = 0; first < input.count; first += encode_chunk) {
    const int64_t count = std::min(encode_chunk, input.count - first);
    kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
    kernels.encode_bf16(targets, count, words, input.residual_at(first));
    std::memcpy(body + 2 * first, words, static_cast<size_t>(count) * 2);
  }
  seal_message(dense_header(Codec::bf16, 16, 0, input.count), bytes);
}

void encode_blocks(EncodeInput input, const CodecOptions& options, std::vector<uint8_t>& bytes, const CodecKernels& kernels) {
  static_assert(encode_chunk % update_block == 0);
  constexpr int64_t chunk_blocks = encode_chunk / update_block;
  const bool int4 = options.codec == Codec::int4;
  const int limit = int4 ? 7 : 127;
  const int64_t blocks = block_count(input.count);
  alignas(64) float targets[encode_chunk];

  std::vector<bf16> scales(static_cast<size_t>(blocks));
  for (int64_t first = 0; first < input.count; first += encode_chunk) {
    const int64_t count = std::min(encode_chunk, input.count - first), in_chunk = block_count(count);
    finite_targets(input, first, count, targets, kernels);
    std::fill(targets + count, targets + in_chunk * update_block, 0.0f);
    uint32_t largest[chunk_blocks];
    kernels.block_largest(targets, in_chunk, largest);
    for (int64_t b = 0; b < in_chunk; ++b) scales[static_cast<size_t>(first / update_block + b)] = block_scale(largest[b], limit);
  }

  resize_message(options.codec, input.count, bytes);
  uint8_t* body = bytes.data() + update_header_bytes;
  if (blocks > 0) std::memcpy(body, scales.data(), scales.size() * 2);
  uint8_t* codes_out = body + 2 * blocks;
  alignas(64) int8_t codes[encode_chunk];
  alignas(64) float residual[encode_chunk];
  for (int64_t first = 0; first < input.count; first += encode_chunk) {
    const int64_t count = std::min(encode_chunk, input.count - first), in_chunk = block_count(count);
    float scale[chunk_blocks];
    for (int64_t b = 0; b < in_chunk; ++b) scale[b] = to_f32(scales[static_cast<size_t>(first / update_block + b)]);
    kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
    std::fill(targets + count, targets + in_chunk * update_block, 0.0f);
    const bool whole = count == in_chunk * update_block;
    float* residual_out = !input.residual ? nullptr : whole ? input.residual_at(first) : residual;
    kernels.quantize(targets, scale, in_chunk, limit, options.seed, static_cast<uint64_t>(first), codes, residual_out);
    if (input.residual && !whole) std::memcpy(input.residual_at(first), residual, static_cast<size_t>(count) * 4);
    if (int4)
      kernels.pack_int4(codes, (count + 1) / 2, codes_out + first / 2);  // targets beyond the end are 0 and so are their codes
    else
      std::memcpy(codes_out + first, codes, static_cast<size_t>(count));
  }
  seal_message(dense_header(options.codec, int4 ? 4 : 8, update_block_log2, input.count), bytes);
}

}  // namespace fedlora
