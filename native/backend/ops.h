/// What operators are told, and the class `Backend` that has them all. Their contracts are in ops.def: shapes, aliasing, what is saved.
/// `backend/cpu` implements it.
///
/// Letters: M rows (tokens) · K in_features · N out_features · R rank · T sequence · H heads · G kv heads · D head_dim · V vocabulary.
/// All row-major. `Activation` is f32 (compute f32) or bf16 (compute bf16); "f32" means float whatever the compute mode.
/// Gradients of parameters accumulate (+=), gradients of activations are overwritten (=) unless the comment says +=.
/// No result depends on the number of threads, on how rows are grouped into calls, or on a row's place among the others.
/// The arguments are checked by the caller (`model`); ops assume them right.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/memory.h"
#include "quant/matrix.h"

namespace fedlora {

enum class Compute { f32, bf16 };
enum class Activate { silu, gelu_tanh, relu, gelu };

/// An activation: float* or bf16*, by the backend's compute mode. Rows are contiguous and dense.
using Activation = void*;
using ConstActivation = const void*;
/// Bytes of one of its elements.
constexpr int64_t activation_width(Compute compute) { return compute == Compute::bf16 ? 2 : 4; }

/// Frozen low-rank factors beside an adapter's pair. rank 0: none, and the pointers are null.
struct FrozenPair {
  int rank = 0;
  const float* A = nullptr;  // [P,K]
  const float* B = nullptr;  // [N,P]
};

/// One adapter's pair for one linear layer. rank 0: this layer has no adapter and every pointer is null.
struct LoraPair {
  int rank = 0;
  float scaling = 0;            // s = alpha / rank
  const float* A = nullptr;     // [R,K]
  const float* B = nullptr;     // [N,R]
  float* d_A = nullptr;         // [R,K] accumulates; null: no gradient wanted
  float* d_B = nullptr;         // [N,R] accumulates
  float dropout = 0;            // probability that an element of the adapter's input is zeroed; the rest is scaled by 1 / (1 − p)
  uint64_t dropout_seed = 0;    // Philox key
  uint64_t dropout_stream = 0;  // Philox stream: one for each layer, target and micro-batch; draw = element index of x within the segment
  FrozenPair frozen;            // with the pair's scaling; part of the base: no gradient, and no dropout
};

/// Rows [row_begin, row_end) of the micro-batch use this adapter; `pairs[t]` belongs to target t of the call.
struct Segment {
  int64_t row_begin = 0, row_end = 0;
  std::span<const LoraPair> pairs;
};

/// One of the projections that share an input.
struct LinearTarget {
  const Matrix* W = nullptr;      // [N,K]
  const float* bias = nullptr;    // [N] or null
  Activation y = nullptr;         // [M,N]; forward writes it
  Activation h = nullptr;         // [M,R_max] x·Aᵀ, row stride `h_stride`; forward saves it, backward reads it; null without adapter
  int64_t h_stride = 0;           // ≥ the largest rank of this target's segments
  ConstActivation d_y = nullptr;  // [M,N]; backward reads it
};

struct AttentionShape {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 0;                // multiplies q·k
  int window = 0;                 // a query sees the last `window` keys, itself included; 0: all
  float soft_cap = 0;             // scores s become cap·tanh(s / cap); 0: they stay
  const float* slopes = nullptr;  // [H], the host's: slopes[h]·(j − i) is added to the score of key j for query i (ALiBi); null: none
  bool sum_delta = false;  // bf16 backward: δ_i = Σ_j p_ij·(d_o_i·v_j), two products more, in the place of d_o_i·o_i with o as rounded
};

/// What becomes of x·Wᵀ at the head.
struct LogitShape {
  LogitShape(float divider = 1, float soft_cap = 0, const float* bias = nullptr) : divider(divider), soft_cap(soft_cap), bias(bias) {}
  float divider;
  float soft_cap;     // cap·tanh(z / cap); 0: none
  const float* bias;  // [V] or null
};

/// Columns of rows of `width`: `count` runs of `run` columns, the first at `begin`, each `stride` after the one before.
struct ColumnRuns {
  int64_t width = 0, begin = 0, run = 0, stride = 0, count = 1;
};

struct AdamWStep {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  int64_t step;      // 1-based
  float grad_scale;  // multiplies every gradient first (clipping)
};

/// What a model asks of a backend, known before a weight is read: its description, and the formats that its files and options give.
struct Need {
  int head_dim = 0;
  Format embedding = Format::f32, head = Format::f32;
  std::vector<Format> linears;           // each that occurs
  std::vector<std::string> traits = {};  // what not every backend runs, by name ("soft caps")
};

/// How large a training pass is.
struct PassSize {
  int64_t tokens = 0, supervised = 0, vocabulary = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
  int64_t frozen_ranks = 0;  // of the frozen pairs of one call, the most
};

/// Bytes that a backend holds itself while such a pass runs, beside the buffers it is given.
struct OwnBytes {
  size_t scratch = 0, loss = 0;  // loss: of linear_cross_entropy
};

/// Bytes of a model's weights: packed, and with those in codes (nf4, fp4, int8) as bf16 numbers instead.
struct WeightBytes {
  size_t packed = 0, decoded = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual Compute compute() const = 0;
  virtual int threads() const = 0;
  /// Where every buffer that an operator is given lies. Spans of ids, positions, offsets, rows, targets and scales, and what says which
  /// buffers there are, are the host's.
  virtual const std::shared_ptr<Memory>& memory() const = 0;
  /// Whether scales of scales (double quantization) stay as they are in what it holds; if not, they are numbers there.
  virtual bool keeps_nested_scales() const { return true; }
  /// Before the first weight is adopted: how much they will take, so that a backend may choose the form that it holds them in.
  virtual void expect(const WeightBytes&) {}
  /// Before a weight's first use: the backend may hold it in a form of its own, and let go of the host's bytes.
  virtual void adopt(Matrix& matrix) = 0;

  // The operators.
#define OP(Result, name, arguments) virtual Result name arguments = 0;
#include "backend/ops.def"
#undef OP

  /// The first thing in `need` that this backend cannot run, by name ("an embedding in nf4"); empty: it supports all.
  virtual std::string lacks(const Need& need) const = 0;
  /// For the memory plan.
  virtual OwnBytes needs(const PassSize& pass) const = 0;
  /// Bytes of scratch memory this backend has allocated by itself so far (for the memory report).
  virtual size_t scratch_bytes() const = 0;
};

}  // namespace fedlora
