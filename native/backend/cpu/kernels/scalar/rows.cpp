/// Kernels over rows and elements, in plain C++.
#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::scalar {
namespace {
#include "backend/cpu/kernels/simd_scalar.h"

#include "backend/cpu/kernels/generic/exp.inl"
}  // namespace

void fill_rows(KernelTable& table) {
#define KERNEL(kernel, ...) table.kernel = kernel;
#include "backend/cpu/kernels/kernels_rows.def"
#undef KERNEL
}

}  // namespace fedlora::scalar
