// Norms and rotary positions.
#include "backend/cuda/launch/rms_norm.h"
#include "backend/cuda/launch/rope.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

void rms_norm_forward(Context& context, int64_t M, int64_t K, float* x, ConstActivation delta, const float* weight, float eps, Activation y,
                      float* rstd, Activation x_saved) {
  cuda::rms_norm_forward(context.queue, M, K, x, delta, weight, eps, y, rstd, x_saved, context.element());
}

void rms_norm_rebuild(Context& context, int64_t M, int64_t K, ConstActivation x_saved, const float* rstd, const float* weight,
                      Activation y) {
  cuda::rms_norm_rebuild(context.queue, M, K, x_saved, rstd, weight, y, context.element());
}

void rms_norm_backward(Context& context, int64_t M, int64_t K, ConstActivation d_y, ConstActivation x_saved, const float* rstd,
                       const float* weight, float* d_x, Activation d_x_copy) {
  cuda::rms_norm_backward(context.queue, M, K, d_y, x_saved, rstd, weight, d_x, d_x_copy, context.element());
}

void row_norm_forward(Context& context, int64_t rows, int64_t width, ConstActivation x, const float* weight, float eps, Activation y,
                      float* rstd) {
  cuda::row_norm_forward(context.queue, rows, width, x, weight, eps, y, rstd, context.element());
}

void row_norm_backward(Context& context, int64_t rows, int64_t width, ConstActivation d_y, ConstActivation x, const float* rstd,
                       const float* weight, Activation d_x) {
  cuda::row_norm_backward(context.queue, rows, width, d_y, x, rstd, weight, d_x, context.element());
}

/// Of whole heads: CudaBackend::lacks refuses partial ones.
void rope(Context& context, int64_t M, int heads, int head_dim, int, View<const int32_t> positions, const float* cosine, const float* sine,
          bool inverse, Activation x) {
  cuda::rope(context.queue, M, heads, head_dim, context.staging.send(positions), cosine, sine, inverse, x, context.element());
}

}  // namespace operators

void fill_norm(Operators& table) {
  FED_OPERATOR(table, rms_norm_forward);
  FED_OPERATOR(table, rms_norm_rebuild);
  FED_OPERATOR(table, rms_norm_backward);
  FED_OPERATOR(table, row_norm_forward);
  FED_OPERATOR(table, row_norm_backward);
  FED_OPERATOR(table, rope);
}

}  // namespace fedlora::cuda
