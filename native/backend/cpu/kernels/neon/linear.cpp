/// Kernels of the linear layers, on NEON.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "backend/cpu/kernels/kernel_table.h"
#include "quant/matrix.h"

namespace fedlora::neon {
namespace {
#include "backend/cpu/kernels/simd_neon.h"

#include "backend/cpu/kernels/generic/linear.inl"
}  // namespace

#include "backend/cpu/kernels/generic/fill_linear.inl"

}  // namespace fedlora::neon

#endif
