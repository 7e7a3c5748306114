/// Encoding and decoding of federated updates (vectors of float32) with error feedback.
///
/// Law, for every codec, with t = update + previous residual computed in float32:
///   an element that is not sent keeps       residual = t, exactly;
///   an element that is sent as s keeps      residual = t − s, rounded once, so |s + residual − t| is at most one ulp of the larger.
/// f32 sends everything and leaves 0. int8 and int4 round stochastically: the expected s is t (up to 2^-15 of a step), except above
/// 127 steps near the largest float, where s is clipped. bf16 rounds to nearest even. topk sends the k = max(1, round(density · n))
/// elements of largest |t| (zeros never; ties by lower index) with magnitudes rounded to a few levels that minimise the squared error.
/// sign sends the sign of every element and the mean of |t| of its block (EF-signSGD, Karimireddy et al. 2019; 1-bit Adam, Tang et al.
/// 2021). randk and blocks send elements, or runs of them, that a seed chooses (chosen_runs.h), as they are or by a dense codec. lowrank
/// sends a product of factors for every tensor (low_rank.h).
///
/// The bytes depend on the input, the options and nothing else: not on the instruction set, not on threads. Layout: wire.h.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "compression/kernels.h"
#include "compression/wire.h"

namespace fedlora {

/// A tensor of the update, [rows, columns] in row-major order.
struct UpdateTensor {
  int64_t rows, columns;
  /// Fraction of its elements to send, above 0 and at most 1.
  double density;
};

struct CodecOptions {
  Codec codec = Codec::f32;
  /// topk, randk, blocks: fraction of the elements to send, above 0 and at most 1, where no layout gives densities.
  double density = 1.0 / 64;
  /// Bits per sent value, sign included. topk: 2, 4 or 8; randk, blocks: 4, 8, 16 (bf16) or 32.
  int bits = 2;
  /// int8, int4, and values of 8 or 4 bits: seed of the stochastic rounding; give every client and round its own.
  uint64_t seed = 0;
  /// Newest version of the wire that the receiver reads: 1 or 2 (wire.h).
  int version = newest_wire_version;
  /// randk, blocks: seed of what is sent; all clients of a round must have the same one for their messages to add up.
  uint64_t choice_seed = 0;
  /// randk, blocks: sends element · runs of its stratum, whose expectation is the element; for clients without error feedback.
  bool unbiased = false;
  /// blocks: log2 of the elements of a run, 1 to 20.
  int run_log2 = 8;
  /// lowrank: largest rank of a tensor's factors.
  int rank = 2;
  /// The tensors of the update, in order; empty: it is one vector. lowrank needs them.
  std::span<const UpdateTensor> layout = {};
};

/// An update and its error feedback. Both residuals are empty, or both as long as the update; they may be the same memory.
struct Feedback {
  std::span<const float> update;
  std::span<const float> residual = {};  // what earlier messages left
  std::span<float> new_residual = {};
};

/// Gives the memory of a message of so many bytes. Called once, on the caller's thread, before anything else is written; may throw.
using MessagePlace = std::function<uint8_t*(int64_t bytes)>;

/// Encodes into the memory that `place` gives. Throws E_ARGUMENT (an option, or too many elements), E_SHAPE (length of a residual),
/// E_NONFINITE (naming the first index where update + residual is not finite), E_MEMORY; then the new residual has not changed.
void encode_update(const Feedback& input, const CodecOptions& options, const MessagePlace& place, ThreadPool* pool = nullptr);
void encode_update(const Feedback& input, const CodecOptions& options, const MessagePlace& place, ThreadPool* pool,
                   const CodecKernels& kernels);
/// The same into `bytes` (replaced), with the residual overwritten by the new one; after an error both are as they were.
void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes);
void encode_update(std::span<const float> update, std::span<float> residual, const CodecOptions& options, std::vector<uint8_t>& bytes,
                   const CodecKernels& kernels, ThreadPool* pool = nullptr);

/// Length of a message of a codec whose size follows from the number of elements; −1 for topk, randk, blocks, lowrank.
int64_t message_bytes(Codec codec, int64_t count);

/// Decodes a whole message; elements that were not sent become 0. `out` has the message's length (read_header(bytes).count).
/// Throws E_SHAPE when it has not, and what UpdateReader throws; then `out` has not changed.
void decode_update(std::span<const uint8_t> bytes, std::span<float> out, ThreadPool* pool = nullptr);

}  // namespace fedlora
