/// Kernels of the linear layers, in plain C++.
#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::scalar {
namespace {
#include "backend/cpu/kernels/simd_scalar.h"

#include "backend/cpu/kernels/generic/convert.inl"
}  // namespace

void fill_linear(KernelTable& table) {
#define KERNEL(kernel, ...) table.kernel = kernel;
#include "backend/cpu/kernels/kernels_linear.def"
#undef KERNEL
}

}  // namespace fedlora::scalar
