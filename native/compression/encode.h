/// The encoders behind encode_update. Options and lengths are checked by then; the encoders find what is not finite.
///
/// Every encoder sweeps its input in chunks: one sweep finds what is not finite and what the message depends on as a whole, while
/// nothing has been written; a later one writes. Threads share a sweep by slices; what they find is joined by operations whose order
/// does not matter, or in the order of the slices.
#pragma once
#include "base/half.h"
#include "compression/codec.h"

namespace fedlora {

/// Elements that an encoder handles at a time: its targets stay in the first-level cache. A slice is one task of a thread.
inline constexpr int64_t encode_chunk = 2048, encode_slice = 32 * encode_chunk;

/// Elements [begin, end).
struct ElementRange {
  int64_t begin, end;
};

struct EncodeInput {
  const float* update;
  /// Null without error feedback; may be the same memory.
  const float* residual;
  float* new_residual;
  int64_t count;
  ThreadPool* pool;
  /// Where this is not empty, targets outside of these ranges (rising, disjoint) count as 0.
  std::span<const ElementRange> within = {};

  const float* residual_at(int64_t first) const { return residual ? residual + first : nullptr; }
  float* new_residual_at(int64_t first) const { return new_residual ? new_residual + first : nullptr; }
  int64_t slices() const { return (count + encode_slice - 1) / encode_slice; }
};

/// Sees the targets t = update + residual of elements [first, first + count); `targets` has room for encode_chunk and may be changed.
using ChunkVisitor = std::function<void(int64_t first, int64_t count, float* targets, int member)>;

/// The first sweep: the largest bit pattern of |t|. Throws E_NONFINITE with the index when a target is not finite.
uint32_t largest_target(const EncodeInput& input, const CodecKernels& kernels, const ChunkVisitor& visit = {});

/// A later sweep, over targets known to be finite.
void for_each_chunk(const EncodeInput& input, const CodecKernels& kernels, const ChunkVisitor& visit);

/// Seals a message whose body is in place: writes the header, body length and both checksums.
void seal_message(UpdateHeader header, uint8_t* message, int64_t bytes, ThreadPool* pool);

/// f32, bf16, int8, int4.
void encode_dense(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels);
/// The first sweep of one of them: finds what is not finite (E_NONFINITE) and, for int8 and int4, the scales.
std::vector<bf16> measure_dense(const EncodeInput& input, Codec codec, const CodecKernels& kernels);
/// The second: the body.
void write_dense_body(const EncodeInput& input, Codec codec, uint64_t seed, const std::vector<bf16>& scales, uint8_t* body,
                      const CodecKernels& kernels);
void encode_sign(const EncodeInput& input, const MessagePlace& place, const CodecKernels& kernels);
void encode_lowrank(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels);
/// randk and blocks.
void encode_chosen(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels);
void encode_topk(const EncodeInput& input, const CodecOptions& options, const MessagePlace& place, const CodecKernels& kernels);

}  // namespace fedlora
