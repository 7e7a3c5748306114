/// The contract of every fused operator: shapes, aliasing, what is saved. One class, `Backend`; `backend/cpu` implements it.
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

#include "quant/matrix.h"

namespace fedlora {

enum class Compute { f32, bf16 };
enum class Activate { silu, gelu_tanh, relu };

/// An activation: float* or bf16*, by the backend's compute mode. Rows are contiguous and dense.
using Activation = void*;
using ConstActivation = const void*;
/// Bytes of one of its elements.
constexpr int64_t activation_width(Compute compute) { return compute == Compute::bf16 ? 2 : 4; }

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
  float scale = 0;  // multiplies q·k
  int window = 0;   // a query sees the last `window` keys, itself included; 0: all
};

struct AdamWStep {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  int64_t step;      // 1-based
  float grad_scale;  // multiplies every gradient first (clipping)
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual Compute compute() const = 0;
  virtual int threads() const = 0;

  /// x[m,:] = multiplier × table[ids[m],:].   ids [M] in [0,V), table [V,K] f32|f16|bf16, x f32 [M,K].
  virtual void embedding_forward(std::span<const int32_t> ids, const Matrix& table, float multiplier, float* x) = 0;

  /// Residual add and norm in one pass:  x += delta;  rstd = 1/√(mean(x²) + eps);  y = x·rstd·weight.
  /// x f32 [M,K] (in place), delta Activation [M,K] or null, y Activation [M,K], rstd f32 [M],
  /// x_saved Activation [M,K] or null: x after the add, for backward.
  virtual void rms_norm_forward(int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, float eps, Activation y,
                                float* rstd, Activation x_saved) = 0;
  /// y = x_saved·rstd·weight: what forward gave, rebuilt from the saved input.
  virtual void rms_norm_rebuild(int64_t M, int64_t K, ConstActivation x_saved, const float* rstd, const float* weight, Activation y) = 0;
  /// d_x += rstd·(w∘d_y − x̂·mean(w∘d_y∘x̂)), x̂ = x_saved·rstd.   d_y Activation, d_x f32 [M,K] (the residual stream's gradient).
  /// d_x_copy Activation [M,K] or null: receives d_x after the update, rounded (what the projection before this norm backpropagates).
  virtual void rms_norm_backward(int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* rstd, const float* weight,
                                 float* d_x, Activation d_x_copy) = 0;
  /// The same norm of rows without a residual (of each head of q or k): x, y Activation [rows,width] (may alias), rstd f32 [rows].
  virtual void row_norm_forward(int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y,
                                float* rstd) = 0;
  /// d_x = rstd·(w∘d_y − x̂·mean(w∘d_y∘x̂)); d_x may alias d_y.
  virtual void row_norm_backward(int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd,
                                 const float* weight, Activation d_x) = 0;

  /// For each target:  h = drop(x)·Aᵀ (per segment)   y = x·Wᵀ + bias + s·h·Bᵀ.   x Activation [M,K]; every W has the same K.
  /// Rows outside all segments get the base alone.
  virtual void lora_linear_forward(int64_t M, ConstActivation x, std::span<LinearTarget> targets, std::span<const Segment> segments) = 0;
  /// For each target and segment:  d_B += s·d_yᵀ·h   d_h = s·d_y·B   d_A += d_hᵀ·drop(x);
  /// d_x = Σ_targets (d_y·W + drop'(d_h·A)).   d_x Activation [M,K], or null: not wanted (first layer).
  /// x is needed only where a segment has an adapter.
  virtual void lora_linear_backward(int64_t M, ConstActivation x, std::span<const LinearTarget> targets, std::span<const Segment> segments,
                                    Activation d_x) = 0;

  /// One row, for generation: y = x·Wᵀ + bias + s·(x·Aᵀ)·Bᵀ, h is not written. `pairs` is empty or has one a target. Sums run along K in an
  /// order of their own: the result is that of lora_linear_forward within rounding, not bit for bit.
  virtual void lora_linear_decode(ConstActivation x, std::span<const LinearTarget> targets, std::span<const LoraPair> pairs) = 0;

  /// Rotates pairs (i, i + D/2) of every head in place by position·frequency; `inverse` rotates back (the backward).
  /// x Activation [M,heads·D]; positions [M]; cosine, sine f32 [positions,D/2].
  virtual void rope(int64_t M, int heads, int head_dim, std::span<const int32_t> positions, const float* cosine, const float* sine,
                    bool inverse, Activation x) = 0;

  /// Causal attention over packed sequences: rows offsets[i] … offsets[i+1] attend among themselves. No T×T buffer.
  /// q, o Activation [M,H·D], k, v [M,G·D], lse f32 [M,H,2] for backward: log-sum-exp of the scaled scores, largest + log of the rest.
  virtual void attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                                 ConstActivation v, Activation o, float* lse) = 0;
  virtual void attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, ConstActivation q, ConstActivation k,
                                  ConstActivation v, ConstActivation o, const float* lse, ConstActivation d_o, Activation d_q,
                                  Activation d_k, Activation d_v) = 0;
  /// One new row against a cache: q, o Activation [H·D]; keys, values Activation [T,G·D], the newest row last.
  virtual void attention_decode(const AttentionShape& shape, int64_t T, ConstActivation q, ConstActivation keys, ConstActivation values,
                                Activation o) = 0;

  /// h = activate(gate)∘up, all Activation [count].
  virtual void glu_forward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) = 0;
  /// d_gate, d_up from d_h; d_gate may alias gate, d_up may alias up. h, if not null, receives the rebuilt forward value.
  virtual void glu_backward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h, Activation d_gate,
                            Activation d_up, Activation h) = 0;

  /// Head and loss over supervised rows in chunks; the logits of all rows are never held at once.
  ///   logits = x·Wᵀ / divider;  losses[m] = logsumexp(logits[m]) − logits[m,target];  correct[m] = (argmax == target)
  ///   d_x = grad_scales[m]·(softmax − onehot)·W / divider     (null: evaluation)
  /// x, d_x Activation [M,K] (d_x may alias x); head [V,K]; targets [M]; grad_scales [M], unused without d_x; losses f32 [M]; correct u8
  /// [M] or null.
  virtual void linear_cross_entropy(int64_t M, ConstActivation x, const Matrix& head, float divider, std::span<const int32_t> targets,
                                    std::span<const float> grad_scales, float* losses, uint8_t* correct, Activation d_x) = 0;
  /// logits f32 [M,V] = x·Wᵀ / divider.
  virtual void head_logits(int64_t M, ConstActivation x, const Matrix& head, float divider, float* logits) = 0;

  /// The same for one row, as lora_linear_decode.
  virtual void head_logits_decode(ConstActivation x, const Matrix& head, float divider, float* logits) = 0;

  /// Rows picked and put back: out[i,:] = x[rows[i],:];   x = 0, then x[rows[i],:] = in[i,:].   Activation [·,K].
  virtual void gather_rows(int64_t K, std::span<const int32_t> rows, ConstActivation x, Activation out) = 0;
  virtual void scatter_rows(int64_t M, int64_t K, std::span<const int32_t> rows, ConstActivation in, Activation x) = 0;

  /// Σ x² in double over fixed blocks of 4,096, added in order.
  virtual double sum_of_squares(std::span<const float> x) = 0;
  /// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW. Zeroes the gradient after use.
  virtual void adamw(const AdamWStep& step, std::span<float> parameter, std::span<float> gradient, std::span<float> moment1,
                     std::span<float> moment2) = 0;
  /// torch.optim.SGD with momentum (0: none) and weight decay added to the gradient. Zeroes the gradient. momentum_buffer may be empty when
  /// momentum is 0.
  virtual void sgd(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, std::span<float> parameter,
                   std::span<float> gradient, std::span<float> momentum_buffer) = 0;

  /// Bytes of scratch memory this backend has allocated by itself so far (for the memory report).
  virtual size_t scratch_bytes() const = 0;
};

struct KernelInfo {
  std::string kernel, isa;
};

/// Bytes that linear_cross_entropy holds in training for M rows and a vocabulary of V. For the memory plan.
size_t linear_cross_entropy_bytes(Compute compute, int64_t M, int64_t V);
/// The CPU backend: `threads` ≥ 1 members; the ISA from select_isa().
std::unique_ptr<Backend> make_cpu_backend(Compute compute, int threads);
/// Peak arithmetic in registers, flop/s of all threads together, measured for about `seconds`: f32 multiply-adds, or for bf16 what its
/// products are made of here.
double measure_cpu_roof(Compute compute, int threads, double seconds);
/// Peak of reading memory, bytes/s of all threads together, measured for about `seconds` over 256 MiB, which no cache holds; making
/// them takes a moment more. Throws E_MEMORY.
double measure_read_bandwidth(int threads, double seconds);
/// Which ISA each leaf kernel resolves to under FEDLORA_ISA.
std::vector<KernelInfo> cpu_kernels();

}  // namespace fedlora
