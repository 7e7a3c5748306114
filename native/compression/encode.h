/// The encoders behind encode_update. Options and lengths are checked by then; the encoders find what is not finite.
#pragma once
#include "compression/codec.h"

namespace fedlora {

/// Elements that an encoder handles at a time: its targets stay in the first-level cache.
inline constexpr int64_t encode_chunk = 2048;

struct EncodeInput {
  const float* update;
  /// Null without error feedback. In: previous residual; out: new residual.
  float* residual;
  int64_t count;

  const float* residual_at(int64_t first) const { return residual ? residual + first : nullptr; }
  float* residual_at(int64_t first) { return residual ? residual + first : nullptr; }
};

/// Calls kernels.add_residual for a chunk; throws E_NONFINITE with the index when a target is not finite. Returns the largest pattern.
uint32_t finite_targets(const EncodeInput& input, int64_t first, int64_t count, float* targets, const CodecKernels& kernels);

/// Seals a message whose body is in place: writes the header, body length and both checksums.
void seal_message(UpdateHeader header, std::vector<uint8_t>& message);

void encode_f32(EncodeInput input, std::vector<uint8_t>& bytes, const CodecKernels& kernels);
void encode_bf16(EncodeInput input, std::vector<uint8_t>& bytes, const CodecKernels& kernels);
/// int8 and int4.
void encode_blocks(EncodeInput input, const CodecOptions& options, std::vector<uint8_t>& bytes, const CodecKernels& kernels);
void encode_topk(EncodeInput input, const CodecOptions& options, std::vector<uint8_t>& bytes, const CodecKernels& kernels);

}  // namespace fedlora
