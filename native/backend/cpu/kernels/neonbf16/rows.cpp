/// Kernels over rows and elements, on NEON with BF16.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "backend/cpu/kernels/kernel_table.h"
#include "base/target.h"

FEDLORA_TARGET_BEGIN(FEDLORA_NEONBF16)

namespace fedlora::neonbf16 {
namespace {
#include "backend/cpu/kernels/simd_neonbf16.h"

#include "backend/cpu/kernels/generic/rows.inl"
}  // namespace
}  // namespace fedlora::neonbf16

FEDLORA_TARGET_END

namespace fedlora::neonbf16 {

#include "backend/cpu/kernels/generic/fill_rows.inl"

}  // namespace fedlora::neonbf16

#endif
