// Operators over rows: embedding, gather and scatter, gated units.
#include "backend/cuda/launch/glu.h"
#include "backend/cuda/launch/rows.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

void embedding_forward(Context& context, View<const int32_t> ids, const DeviceMatrix* table, float multiplier, float* x) {
  cuda::embedding_forward(context.queue, ids.size, context.staging.send(ids), *table, multiplier, x);
}

void gather_rows(Context& context, int64_t K, View<const int32_t> rows, ConstActivation x, Activation out) {
  cuda::gather_rows(context.queue, rows.size, K, context.staging.send(rows), x, out, context.element());
}

void scatter_rows(Context& context, int64_t M, int64_t K, View<const int32_t> rows, ConstActivation in, Activation x) {
  cuda::scatter_rows(context.queue, M, K, rows.size, context.staging.send(rows), in, x, context.element());
}

void glu_forward(Context& context, Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) {
  cuda::glu_forward(context.queue, kind, count, gate, up, h, context.element());
}

void glu_backward(Context& context, Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h,
                  Activation d_gate, Activation d_up, Activation h) {
  cuda::glu_backward(context.queue, kind, count, gate, up, d_h, d_gate, d_up, h, context.element());
}

}  // namespace operators

void fill_rows(Operators& table) {
  FED_OPERATOR(table, embedding_forward);
  FED_OPERATOR(table, gather_rows);
  FED_OPERATOR(table, scatter_rows);
  FED_OPERATOR(table, glu_forward);
  FED_OPERATOR(table, glu_backward);
}

}  // namespace fedlora::cuda
