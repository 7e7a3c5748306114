// Operators that move bytes: the residual stream kept, and begun.
#include "backend/cuda/library/memory.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace operators {

void copy(Context& context, int64_t count, const float* from, float* to) {
  cuda::copy(context, from, to, count * static_cast<int64_t>(sizeof(float)));
}

void zero(Context& context, int64_t count, float* x) { cuda::zero(context, x, count * static_cast<int64_t>(sizeof(float))); }

}  // namespace operators

void fill_memory(Operators& table) {
  FED_OPERATOR(table, copy);
  FED_OPERATOR(table, zero);
}

}  // namespace fedlora::cuda
