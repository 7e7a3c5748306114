/// The parts of a pass, forward beside backward: each reads and writes the buffers of its pass, nothing else.
///
/// Forward: `x` is the f32 residual stream; `delta` is the output of the sublayer before, which the next norm adds to it (null: none).
/// Backward: on entry `buffers.d_x` holds the f32 gradient of the stream after the part and `buffers.d_delta` the same rounded, on exit
/// both hold it before the part.
#pragma once
#include <initializer_list>

#include "model/pass.h"

namespace fedlora {

// linear_group.cpp: the linear layers of a group, each with its adapters
void linear_forward(const Pass& pass, int64_t layer, LinearGroup group, ConstActivation x, std::initializer_list<Activation> y);
/// d_x null: not wanted.
void linear_backward(const Pass& pass, int64_t layer, LinearGroup group, ConstActivation x, std::initializer_list<ConstActivation> d_y,
                     Activation d_x);

// stream.cpp: what stands between the residual stream and a sublayer, before and after it
/// x += delta (null: nothing);  what the sublayer reads: norm(x), into `normed`, or without a norm x rounded, which is `saved`.
ConstActivation enter_sublayer(const Pass& pass, const NormWeights& norm, float* x, ConstActivation delta, float* rstd, Activation saved);
/// The same from `saved`, in backward.
ConstActivation enter_again(const Pass& pass, const NormWeights& norm, const float* rstd, ConstActivation saved);
/// From d_input, the gradient of what it read, to that of the stream; d_copy, if not null, receives it rounded.
void enter_backward(const Pass& pass, const NormWeights& norm, const float* rstd, ConstActivation saved, Activation d_copy);
/// The norm of the model's kind: x += delta, y = norm(x); and d_x += its gradient.
void norm_forward(const Pass& pass, const NormWeights& norm, float* x, ConstActivation delta, Activation y, float* rstd, Activation saved);
void norm_backward(const Pass& pass, const NormWeights& norm, ConstActivation d_y, ConstActivation saved, const float* rstd, float* d_x,
                   Activation d_copy);
/// out = multiplier·norm(raw); without a norm raw is out itself.
void leave_sublayer(const Pass& pass, const NormWeights& norm, Activation raw, float* rstd, Activation out);
/// From d_delta, the gradient of out, to that of raw, in place.
void leave_backward(const Pass& pass, const NormWeights& norm, ConstActivation raw, const float* rstd);

// sublayer_attention.cpp
void attention_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out);
void attention_backward(const Pass& pass, int64_t layer);

// sublayer_mlp.cpp
void mlp_forward(const Pass& pass, int64_t layer, float* x, ConstActivation delta, Activation out);
/// The part of it that backward needs: the norm's input, gate and up.
void mlp_gate_up(const Pass& pass, int64_t layer, float* x, ConstActivation delta);
/// Gate and up from the norm's saved input.
void mlp_gate_up_again(const Pass& pass, int64_t layer);
void mlp_backward(const Pass& pass, int64_t layer);

// blocks.cpp: all of them, with what backward recomputes; the cancel flag is looked at before each
void blocks_forward(const Pass& pass);
void blocks_backward(const Pass& pass);

// head.cpp: from the last block to logits or losses
struct LossSums {
  double loss = 0;  // Σ over supervised rows, each times its weight, added in row order
  int64_t correct = 0, supervised = 0, tokens = 0;
};
/// The final norm of every row, into `normed`.
void final_norm_forward(const Pass& pass);
/// Losses of the supervised rows from `normed`; when training, also the gradient of the stream after the last block.
void head_loss(const Pass& pass);
/// The losses of a pass, brought to the host: a device is waited for here.
class RowLosses {
 public:
  explicit RowLosses(const Pass& pass);
  /// Of the supervised rows in [row_begin, row_end), in row order.
  LossSums sum(int64_t row_begin, int64_t row_end) const;

 private:
  const Batch& batch_;
  HostView<float> losses_;
  HostView<uint8_t> correct_;
};
/// logits f32 [M, V] of every row; of the last one, [V].   In the backend's memory.
void all_logits(const Pass& pass, float* logits);
void last_logits(const Pass& pass, float* logits);

}  // namespace fedlora
