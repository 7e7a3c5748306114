/// Kernels over rows and elements, on NEON.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::neon {
namespace {
#include "backend/cpu/kernels/simd_neon.h"

#include "backend/cpu/kernels/generic/rows.inl"
}  // namespace

#include "backend/cpu/kernels/generic/fill_rows.inl"

}  // namespace fedlora::neon

#endif
