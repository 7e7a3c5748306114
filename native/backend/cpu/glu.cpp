/// Gated units, and activations without a gate, split into runs of elements.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

void CpuBackend::glu_forward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, Activation h) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, count, 1,
              [&](int64_t first, int64_t n) { kernels.glu_forward(kind, n, as<T>(gate, first), as<T>(up, first), as<T>(h, first)); });
  });
}

void CpuBackend::glu_backward(Activate kind, int64_t count, ConstActivation gate, ConstActivation up, ConstActivation d_h,
                              Activation d_gate, Activation d_up, Activation h) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, count, 1, [&](int64_t first, int64_t n) {
      kernels.glu_backward(kind, n, as<T>(gate, first), as<T>(up, first), as<T>(d_h, first), as<T>(d_gate, first), as<T>(d_up, first),
                           as<T>(h, first));
    });
  });
}

void CpuBackend::activate_forward(Activate kind, int64_t count, ConstActivation x, Activation y) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, count, 1, [&](int64_t first, int64_t n) { kernels.activate_forward(kind, n, as<T>(x, first), as<T>(y, first)); });
  });
}

void CpuBackend::activate_backward(Activate kind, int64_t count, ConstActivation x, ConstActivation d_y, Activation d_x) {
  typed([&]<class T>(const TypedKernels<T>& kernels) {
    each_rows(pool_, count, 1,
              [&](int64_t first, int64_t n) { kernels.activate_backward(kind, n, as<T>(x, first), as<T>(d_y, first), as<T>(d_x, first)); });
  });
}

}  // namespace fedlora
