// Operators of the output head: logits, and the loss over them.
#include "backend/cuda/launch/cross_entropy.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

void linear_cross_entropy(Context& context, int64_t M, ConstActivation x, const DeviceMatrix* head, const LogitShape* shape,
                          View<const int32_t> targets, View<const float> grad_scales, float* losses, uint8_t* correct, Activation d_x) {
  void* const workspace = context.workspace.reserve(cross_entropy_workspace(M, *head, context.element(), d_x != nullptr));
  const float* const scales = d_x == nullptr ? nullptr : context.staging.send(grad_scales);
  cuda::linear_cross_entropy(context.queue, M, x, *head, shape->divider, context.staging.send(targets), scales, losses, correct, d_x,
                             context.element(), workspace);
}

void head_logits(Context& context, int64_t M, ConstActivation x, const DeviceMatrix* head, const LogitShape* shape, float* logits) {
  void* const workspace = context.workspace.reserve(head_logits_workspace(*head, context.element()));
  cuda::head_logits(context.queue, M, x, *head, shape->divider, logits, context.element(), workspace);
}

}  // namespace operators

void fill_head(Operators& table) {
  FED_OPERATOR(table, linear_cross_entropy);
  FED_OPERATOR(table, head_logits);
}

}  // namespace fedlora::cuda
