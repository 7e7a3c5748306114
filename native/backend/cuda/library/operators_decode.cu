// Operators of one row, for generation: the projections and the head.
#include "backend/cuda/launch/matvec.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

void lora_linear_decode(Context& context, ConstActivation x, View<const TargetView> targets, View<const LoraPair> pairs) {
  for (int64_t t = 0; t < targets.size; ++t) {
    const LoraPair pair = pairs.size == 0 ? LoraPair{} : pairs[t];
    void* const workspace = context.workspace.reserve(lora_decode_workspace(pair));
    cuda::lora_linear_decode(context.queue, x, *targets[t].W, targets[t].bias, pair, targets[t].y, context.element(), workspace);
  }
}

void head_logits_decode(Context& context, ConstActivation x, const DeviceMatrix* head, const LogitShape* shape, float* logits) {
  cuda::head_logits_decode(context.queue, x, *head, shape->divider, logits, context.element());
}

}  // namespace operators

void fill_decode(Operators& table) {
  FED_OPERATOR(table, lora_linear_decode);
  FED_OPERATOR(table, head_logits_decode);
}

}  // namespace fedlora::cuda
