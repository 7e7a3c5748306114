/// Low rank: a tensor M [rows, columns] of the update as P·Qᵀ, P [rows, q], Q [columns, q], both bf16.
///
/// Power iteration from a start that a seed draws (Vogels et al. 2019, "PowerSGD"), twice where PowerSGD takes one step from its last
/// result, since nothing but the residual is remembered:
///   P = M·Q;   P's columns made orthonormal (modified Gram-Schmidt);   Q = Mᵀ·P
/// What is sent of an element is Σ_r P[i, r]·Q[j, r], summed in float32 in the order of r: the bits that a reader finds.
/// A tensor that takes no fewer bytes so, or whose product would leave the range of float32, is sent whole, as bf16.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "compression/kernels.h"
#include "compression/wire.h"

namespace fedlora {

/// A tensor of a message; rank 0: whole.
struct LowRankTensor {
  uint32_t rows, columns, rank;
  int64_t elements() const { return int64_t{rows} * columns; }
  /// bf16 numbers that stand for it.
  int64_t numbers() const { return rank == 0 ? elements() : (int64_t{rows} + columns) * rank; }
};

/// The rank that a tensor is sent with when `rank` is asked for.
uint32_t rank_of(int64_t rows, int64_t columns, int rank);

/// A tensor's factors, P row by row and Q rank by rank; of rank 0 its values, in P or, bf16, in a message.
struct LowRankFactors {
  LowRankTensor tensor{};
  std::vector<float> p, q;
  const uint8_t* whole = nullptr;
  /// Elements [first, first + count) of the tensor.
  void product(int64_t first, int64_t count, float* values, const CodecKernels& kernels) const;
};

/// The factors of `target`, rounded to bf16; of rank 0 where they cannot stand for it. `draw` tells tensors apart under a seed.
LowRankFactors factorize(std::span<const float> target, LowRankTensor tensor, uint64_t seed, uint64_t draw, const CodecKernels& kernels);

/// The body's numbers for factors: P [rows, rank], then Q [columns, rank]. Room for numbers() bf16.
void write_factors(const LowRankFactors& factors, uint8_t* numbers);

/// The tensors of a message.
class LowRankReader {
 public:
  LowRankReader() = default;
  /// Throws E_FORMAT where lengths do not fit. That values are finite is for the caller to see.
  LowRankReader(const UpdateHeader& header, const uint8_t* body, const CodecKernels& kernels);
  void decode(int64_t first, int64_t count, float* values, const CodecKernels& kernels) const;

 private:
  std::vector<LowRankFactors> tensors_;
  std::vector<int64_t> begins_;
};

}  // namespace fedlora
