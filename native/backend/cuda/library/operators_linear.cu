// Operators of linear layers: the frozen weight with the adapters of each segment.
#include "backend/cuda/launch/lora_linear.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

void lora_linear_forward(Context& context, int64_t M, ConstActivation x, View<const TargetView> targets, View<const SegmentView> segments) {
  void* const workspace = context.workspace.reserve(lora_linear_workspace(Direction::forward, targets, segments, context.element()));
  cuda::lora_linear_forward(context.queue, M, x, targets, segments, context.element(), workspace);
}

void lora_linear_backward(Context& context, int64_t M, ConstActivation x, View<const TargetView> targets, View<const SegmentView> segments,
                          Activation d_x) {
  void* const workspace = context.workspace.reserve(lora_linear_workspace(Direction::backward, targets, segments, context.element()));
  cuda::lora_linear_backward(context.queue, M, x, targets, segments, d_x, context.element(), workspace);
}

}  // namespace operators

void fill_linear(Operators& table) {
  FED_OPERATOR(table, lora_linear_forward);
  FED_OPERATOR(table, lora_linear_backward);
}

}  // namespace fedlora::cuda
