// The front door of the codecs: options and lengths are checked here, once.
#include "compression/codec.h"

#include <cmath>
#include <new>

#include "base/error.h"
#include "compression/checksum.h"
#include "compression/encode.h"
#include "compression/update_reader.h"

namespace fedlora {

namespace {
constexpr uint32_t infinity_bits = 0x7f800000u;

void check_options(std::span<const float> update, std::span<float> residual, const CodecOptions& options) {
  if (static_cast<unsigned>(options.codec) >= codec_count)
    fail(Code::E_ARGUMENT, "codec number %u is unknown, expected 0 to %d", static_cast<unsigned>(options.codec), codec_count - 1);
  if (update.size() > static_cast<size_t>(update_max_elements))
    fail(Code::E_ARGUMENT, "an update of %zu elements, at most %lld can be encoded in one message", update.size(),
         static_cast<long long>(update_max_elements));
  if (!residual.empty() && residual.size() != update.size())
    fail(Code::E_SHAPE, "the residual has %zu elements, expected %zu like the update", residual.size(), update.size());
  if (options.codec != Codec::topk) return;
  if (!(options.density > 0 && options.density <= 1))
    fail(Code::E_ARGUMENT, "density is %g, expected a number above 0 and at most 1", options.density);
  if (options.bits != 2 && options.bits != 4 && options.bits != 8)
    fail(Code::E_ARGUMENT, "bits is %d, topk sends values of 2, 4 or 8 bits", options.bits);
}
}  // namespace

uint32_t finite_targets(const EncodeInput& input, int64_t first, int64_t count, float* targets, const CodecKernels& kernels) {
  const uint32_t largest = kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
  if (largest < infinity_bits) return largest;
  for (int64_t i = 0; i < count; ++i) {
    if (std::isfinite(targets[i])) continue;
    const long long index = first + i;
    if (!input.residual) fail(Code::E_NONFINITE, "element %lld of the update is %g; nothing was encoded", index, input.update[first + i]);
    fail(Code::E_NONFINITE, "element %lld of the update plus its residual is not finite (%g + %g); nothing was encoded", index,
         input.update[first + i], input.residual[first + i]);
  }
  fail(Code::E_INTERNAL, "a kernel saw a number that is not finite where there is none");
}

void seal_message(UpdateHeader header, std::vector<uint8_t>& message) {
  const std::span<const uint8_t> body = std::span<const uint8_t>(message).subspan(update_header_bytes);
  header.body_bytes = static_cast<int64_t>(body.size());
  header.body_checksum = body_checksum(body);
  write_header(header, message.data());
}

void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes) {
  encode_update(update, residual, options, bytes, codec_kernels());
}

void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes,
                   const CodecKernels& kernels) {
  check_options(update, residual, options);
  const EncodeInput input{update.data(), residual.empty() ? nullptr : residual.data(), static_cast<int64_t>(update.size())};
  try {
    switch (options.codec) {
      case Codec::f32:
        return encode_f32(input, bytes, kernels);
      case Codec::bf16:
        return encode_bf16(input, bytes, kernels);
      case Codec::int8:
      case Codec::int4:
        return encode_blocks(input, options, bytes, kernels);
      case Codec::topk:
        return encode_topk(input, options, bytes, kernels);
    }
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to encode an update of %zu elements", update.size());
  }
}

void decode_update(std::span<const uint8_t> bytes, std::span<float> out) {
  const UpdateReader reader(bytes);
  if (static_cast<size_t>(reader.count()) != out.size())
    fail(Code::E_SHAPE, "the message holds %lld elements, the output %zu", static_cast<long long>(reader.count()), out.size());
  for (int64_t first = 0; first < reader.count(); first += update_tile)
    reader.decode(first, std::min(update_tile, reader.count() - first), out.data() + first);
}

}  // namespace fedlora
