// Operators over flat vectors: the gradient's norm, what an algorithm adds to it, the optimisers.
#include "backend/cuda/launch/optimizer.h"
#include "backend/cuda/library/memory.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

/// Waits: the host decides by the norm.
void sum_of_squares(Context& context, View<const float> x, double* result) {
  // The result lies behind the partial sums.
  const size_t partial = sum_of_squares_workspace(x.size);
  auto* workspace = static_cast<unsigned char*>(context.workspace.reserve(partial + sizeof(double)));
  auto* sum = reinterpret_cast<double*>(workspace + partial);
  cuda::sum_of_squares(context.queue, x.size, x.data, sum, workspace);
  download(context, sum, result, sizeof(double));
}

void gradient_terms(Context& context, float mu, View<const float> parameter, View<const float> anchor, View<const float> correction,
                    View<float> gradient) {
  cuda::gradient_terms(context.queue, mu, gradient.size, parameter.data, anchor.size == 0 ? nullptr : anchor.data,
                       correction.size == 0 ? nullptr : correction.data, gradient.data);
}

void adamw(Context& context, const AdamWStep* step, View<float> parameter, View<float> gradient, View<float> moment1, View<float> moment2) {
  cuda::adamw(context.queue, *step, parameter.size, parameter.data, gradient.data, moment1.data, moment2.data);
}

void sgd(Context& context, float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step,
         View<float> parameter, View<float> gradient, View<float> momentum_buffer) {
  cuda::sgd(context.queue, learning_rate, momentum, weight_decay, grad_scale, first_step, parameter.size, parameter.data, gradient.data,
            momentum_buffer.data);
}

}  // namespace operators

void fill_flat(Operators& table) {
  FED_OPERATOR(table, sum_of_squares);
  FED_OPERATOR(table, gradient_terms);
  FED_OPERATOR(table, adamw);
  FED_OPERATOR(table, sgd);
}

}  // namespace fedlora::cuda
