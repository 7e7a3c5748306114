/// Encoding and decoding of federated updates (vectors of float32) with error feedback.
///
/// Law, for every codec, with t = update + previous residual computed in float32:
///   an element that is not sent keeps       residual = t, exactly;
///   an element that is sent as s keeps      residual = t − s, rounded once, so |s + residual − t| is at most one ulp of the larger.
/// f32 sends everything and leaves 0. int8 and int4 round stochastically: the expected s is t (up to 2^-15 of a step), except above
/// 127 steps near the largest float, where s is clipped. bf16 rounds to nearest even. topk sends the k = max(1, round(density · n))
/// elements of largest |t| (zeros never; ties by lower index) with magnitudes rounded to a few levels that minimise the squared error.
///
/// The bytes depend on the input, the options and nothing else: not on the instruction set, not on threads. Layout: wire.h.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "compression/kernels.h"
#include "compression/wire.h"

namespace fedlora {

struct CodecOptions {
  Codec codec = Codec::f32;
  /// topk: fraction of the elements to send, above 0 and at most 1.
  double density = 1.0 / 64;
  /// topk: bits per sent value, sign included: 2, 4 or 8.
  int bits = 2;
  /// int8, int4: seed of the stochastic rounding; give every client and round its own.
  uint64_t seed = 0;
};

/// Encodes `update` into `bytes` (replaced). `residual`: empty, or as long as the update: in, the previous residual; out, the new one.
/// Throws E_ARGUMENT (an option, or too many elements), E_SHAPE (length of the residual), E_NONFINITE (naming the first index where
/// update + residual is not finite), E_MEMORY; then neither `residual` nor `bytes` has changed.
void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes);
void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes,
                   const CodecKernels& kernels);

/// Decodes a whole message; elements that were not sent become 0. `out` has the message's length (read_header(bytes).count).
/// Throws E_SHAPE when it has not, and what UpdateReader throws; then `out` has not changed.
void decode_update(std::span<const uint8_t> bytes, std::span<float> out);

}  // namespace fedlora
