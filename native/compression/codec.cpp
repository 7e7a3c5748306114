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

void check_density(double density) {
  if (!(density > 0 && density <= 1)) fail(Code::E_ARGUMENT, "density is %g, expected a number above 0 and at most 1", density);
}

void check_layout(std::span<const UpdateTensor> layout, int64_t count) {
  int64_t held = 0;
  for (const UpdateTensor& tensor : layout) {
    if (tensor.rows < 1 || tensor.columns < 1 || tensor.rows > update_max_elements || tensor.columns > update_max_elements / tensor.rows)
      fail(Code::E_SHAPE, "a tensor of %lld rows and %lld columns in the layout", static_cast<long long>(tensor.rows),
           static_cast<long long>(tensor.columns));
    check_density(tensor.density);
    held += tensor.rows * tensor.columns;
    if (held > count) break;
  }
  if (!layout.empty() && held != count)
    fail(Code::E_SHAPE, "the tensors of the layout have %s%lld elements, the update %lld", held > count ? "at least " : "",
         static_cast<long long>(held), static_cast<long long>(count));
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
  check_layout(options.layout, static_cast<int64_t>(update.size()));
  if (options.codec == Codec::lowrank && (options.rank < 1 || options.rank > lowrank_most))
    fail(Code::E_ARGUMENT, "rank is %d, lowrank sends ranks of 1 to %d", options.rank, lowrank_most);
  if (options.codec == Codec::lowrank && options.layout.empty() && !update.empty())
    fail(Code::E_ARGUMENT, "lowrank needs the layout of the update: rows and columns of its tensors");
  if (!sends_some(options.codec)) return;
  check_density(options.density);
  const bool topk = options.codec == Codec::topk, chosen = !topk;
  const int bits = options.bits;
  if (topk && bits != 2 && bits != 4 && bits != 8) fail(Code::E_ARGUMENT, "bits is %d, topk sends values of 2, 4 or 8 bits", bits);
  if (chosen && bits != 4 && bits != 8 && bits != 16 && bits != 32)
    fail(Code::E_ARGUMENT, "bits is %d, %s sends values of 4, 8, 16 or 32 bits", bits, codec_name(options.codec));
  if (options.codec == Codec::blocks && (options.run_log2 < 1 || options.run_log2 > run_log2_most))
    fail(Code::E_ARGUMENT, "a run of 2^%d elements, expected 2^1 to 2^%d", options.run_log2, run_log2_most);
  if (chosen && options.unbiased && !input.residual.empty())
    fail(Code::E_ARGUMENT,
         "unbiased with a residual: what is scaled up now and made good by the residual later is counted twice; leave one out");
}
}  // namespace

namespace {
/// Zeros in the place of targets of elements [first, first + count) that are outside of the ranges.
void keep_within(std::span<const ElementRange> ranges, int64_t first, int64_t count, float* targets) {
  if (ranges.empty()) return;
  auto range = std::partition_point(ranges.begin(), ranges.end(), [&](const ElementRange& r) { return r.end <= first; });
  for (int64_t at = first, end = first + count; at < end; ++range) {
    const int64_t next = range == ranges.end() ? end : std::min(range->begin, end);
    if (next > at) std::fill(targets + (at - first), targets + (next - first), 0.0f);
    if (range == ranges.end()) return;
    at = std::max(at, range->end);
  }
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
      keep_within(input.within, first, count, targets);
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
      keep_within(input.within, first, count, targets);
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
      case Codec::bf16:
      case Codec::int8:
      case Codec::int4:
        return encode_dense(input, options, place, kernels);
      case Codec::topk:
        return encode_topk(input, options, place, kernels);
      case Codec::sign:
        return encode_sign(input, place, kernels);
      case Codec::randk:
      case Codec::blocks:
        return encode_chosen(input, options, place, kernels);
      case Codec::lowrank:
        return encode_lowrank(input, options, place, kernels);
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
  return sends_some(codec) || codec == Codec::lowrank ? -1 : update_header_bytes + dense_body_bytes(codec, count);
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
