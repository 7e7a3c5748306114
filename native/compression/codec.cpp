// The front door of the codecs: options and lengths are checked here, once.
#include "compression/codec.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "base/error.h"
#include "compression/checksum.h"
#include "compression/encode.h"
#include "compression/update_reader.h"

namespace fedlora {

namespace {
constexpr uint32_t infinity_bits = 0x7f800000u;

void lower(std::atomic<int64_t>& least, int64_t value) {
  for (int64_t seen = least; value < seen && !least.compare_exchange_weak(seen, value);) {
  }
}

void raise(std::atomic<uint32_t>& most, uint32_t value) {
  for (uint32_t seen = most; value > seen && !most.compare_exchange_weak(seen, value);) {
  }
}

void check_options(const Feedback& input, const CodecOptions& options) {
  const std::span<const float> update = input.update;
  if (static_cast<unsigned>(options.codec) >= codec_count)
    fail(Code::E_ARGUMENT, "codec number %u is unknown, expected 0 to %d", static_cast<unsigned>(options.codec), codec_count - 1);
  if (update.size() > static_cast<size_t>(update_max_elements))
    fail(Code::E_ARGUMENT, "an update of %zu elements, at most %lld can be encoded in one message", update.size(),
         static_cast<long long>(update_max_elements));
  for (size_t length : {input.residual.size(), input.new_residual.size()})
    if (length != update.size() && !(input.residual.empty() && input.new_residual.empty()))
      fail(Code::E_SHAPE, "the residual has %zu elements, expected %zu like the update", length, update.size());
  if (options.codec != Codec::topk) return;
  if (!(options.density > 0 && options.density <= 1))
    fail(Code::E_ARGUMENT, "density is %g, expected a number above 0 and at most 1", options.density);
  if (options.bits != 2 && options.bits != 4 && options.bits != 8)
    fail(Code::E_ARGUMENT, "bits is %d, topk sends values of 2, 4 or 8 bits", options.bits);
}
}  // namespace

uint32_t largest_target(const EncodeInput& input, const CodecKernels& kernels, const ChunkVisitor& visit) {
  const int64_t tasks = (input.count + encode_slice - 1) / encode_slice;
  std::atomic<uint32_t> largest{0};
  std::atomic<int64_t> bad{INT64_MAX};  // the first chunk that holds what is not finite
  run_tasks(input.pool, tasks, [&](int64_t task, int member) {
    alignas(64) float targets[encode_chunk];
    uint32_t top = 0;
    const int64_t end = std::min((task + 1) * encode_slice, input.count);
    for (int64_t first = task * encode_slice; first < end; first += encode_chunk) {
      const int64_t count = std::min(encode_chunk, end - first);
      const uint32_t bits = kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
      if (bits >= infinity_bits) return lower(bad, first);
      top = std::max(top, bits);
      if (visit) visit(first, count, targets, member);
    }
    raise(largest, top);
  });
  if (bad == INT64_MAX) return largest;
  for (int64_t i = bad;; ++i) {
    const float target = input.residual ? input.update[i] + input.residual[i] : input.update[i];
    if (std::isfinite(target)) continue;
    const long long index = i;
    if (!input.residual) fail(Code::E_NONFINITE, "element %lld of the update is %g; nothing was encoded", index, input.update[i]);
    fail(Code::E_NONFINITE, "element %lld of the update plus its residual is not finite (%g + %g); nothing was encoded", index,
         input.update[i], input.residual[i]);
  }
}

void for_each_chunk(const EncodeInput& input, const CodecKernels& kernels, const ChunkVisitor& visit) {
  run_tasks(input.pool, (input.count + encode_slice - 1) / encode_slice, [&](int64_t task, int member) {
    alignas(64) float targets[encode_chunk];
    const int64_t end = std::min((task + 1) * encode_slice, input.count);
    for (int64_t first = task * encode_slice; first < end; first += encode_chunk) {
      const int64_t count = std::min(encode_chunk, end - first);
      kernels.add_residual(input.update + first, input.residual_at(first), targets, count);
      visit(first, count, targets, member);
    }
  });
}

void seal_message(UpdateHeader header, uint8_t* message, int64_t bytes, ThreadPool* pool) {
  const std::span<const uint8_t> body(message + update_header_bytes, static_cast<size_t>(bytes - update_header_bytes));
  header.body_bytes = static_cast<int64_t>(body.size());
  header.body_checksum = body_checksum(body, pool);
  write_header(header, message);
}

void encode_update(const Feedback& input, const CodecOptions& options, const MessagePlace& place, ThreadPool* pool) {
  encode_update(input, options, place, pool, codec_kernels());
}

void encode_update(const Feedback& given, const CodecOptions& options, const MessagePlace& place, ThreadPool* pool,
                   const CodecKernels& kernels) {
  check_options(given, options);
  const bool feedback = !given.residual.empty();
  const EncodeInput input{given.update.data(), feedback ? given.residual.data() : nullptr, feedback ? given.new_residual.data() : nullptr,
                          static_cast<int64_t>(given.update.size()), pool};
  try {
    switch (options.codec) {
      case Codec::f32:
        return encode_f32(input, place, kernels);
      case Codec::bf16:
        return encode_bf16(input, place, kernels);
      case Codec::int8:
      case Codec::int4:
        return encode_blocks(input, options, place, kernels);
      case Codec::topk:
        return encode_topk(input, options, place, kernels);
    }
  } catch (const std::bad_alloc&) {
    fail(Code::E_MEMORY, "no memory to encode an update of %zu elements", given.update.size());
  }
}

void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes) {
  encode_update(update, residual, options, bytes, codec_kernels());
}

void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes,
                   const CodecKernels& kernels, ThreadPool* pool) {
  const auto place = [&](int64_t size) {
    const size_t wanted = static_cast<size_t>(size);
    if (bytes.capacity() < wanted) bytes = std::vector<uint8_t>(wanted);  // nothing of the old content is worth a copy
    bytes.resize(wanted);
    return bytes.data();
  };
  encode_update({update, residual, residual}, options, place, pool, kernels);
}

int64_t message_bytes(Codec codec, int64_t count) {
  return codec == Codec::topk ? -1 : update_header_bytes + dense_body_bytes(codec, count);
}

void decode_update(std::span<const uint8_t> bytes, std::span<float> out, ThreadPool* pool) {
  const UpdateReader reader(bytes, pool);
  if (static_cast<size_t>(reader.count()) != out.size())
    fail(Code::E_SHAPE, "the message holds %lld elements, the output %zu", static_cast<long long>(reader.count()), out.size());
  constexpr int64_t task_tiles = 16;
  const int64_t tiles = (reader.count() + update_tile - 1) / update_tile;
  run_tasks(pool, (tiles + task_tiles - 1) / task_tiles, [&](int64_t task, int) {
    const int64_t end = std::min((task + 1) * task_tiles * update_tile, reader.count());
    for (int64_t first = task * task_tiles * update_tile; first < end; first += update_tile)
      reader.decode(first, std::min(update_tile, end - first), out.data() + first);
  });
}

}  // namespace fedlora
