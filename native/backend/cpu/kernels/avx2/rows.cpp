/// Kernels over rows and elements, on AVX2 + FMA + F16C.
#if defined(__x86_64__)
#include <immintrin.h>

#include "backend/cpu/kernels/kernel_table.h"
#include "base/target.h"

FEDLORA_TARGET_BEGIN(FEDLORA_AVX2)

namespace fedlora::avx2 {
namespace {
#include "backend/cpu/kernels/simd_avx2.h"

#include "backend/cpu/kernels/generic/rows.inl"
}  // namespace
}  // namespace fedlora::avx2

FEDLORA_TARGET_END

namespace fedlora::avx2 {

#include "backend/cpu/kernels/generic/fill_rows.inl"

}  // namespace fedlora::avx2

#endif
