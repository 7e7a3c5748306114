/// Gated units, split into runs of elements.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::glu_forward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) {
  each_rows(pool_, count, 1, [&](int64_t first, int64_t n) {
    if (compute_ == Compute::f32)
      kernels_.glu_forward_f32(kind, n, as<float>(gate, first), as<float>(up, first), as<float>(h, first));
    else
      kernels_.glu_forward_bf16(kind, n, as<bf16>(gate, first), as<bf16>(up, first), as<bf16>(h, first));
  });
}

void CpuBackend::glu_backward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h,
                              Activation d_gate, Activation d_up, Activation h) {
  each_rows(pool_, count, 1, [&](int64_t first, int64_t n) {
    if (compute_ == Compute::f32)
      kernels_.glu_backward_f32(kind, n, as<float>(gate, first), as<float>(up, first), as<float>(d_h, first), as<float>(d_gate, first),
                                as<float>(d_up, first), as<float>(h, first));
    else
      kernels_.glu_backward_bf16(kind, n, as<bf16>(gate, first), as<bf16>(up, first), as<bf16>(d_h, first), as<bf16>(d_gate, first),
                                 as<bf16>(d_up, first), as<bf16>(h, first));
  });
}

}  // namespace fedlora
