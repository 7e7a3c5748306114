/// Kernels of the linear layers, on AVX-512 with BF16.
#if defined(__x86_64__)
#include <immintrin.h>

#include "backend/cpu/kernels/kernel_table.h"
#include "base/target.h"
#include "quant/matrix.h"

FEDLORA_UNDEFINED_VECTORS

FEDLORA_TARGET_BEGIN(FEDLORA_AVX512BF16)

namespace fedlora::avx512bf16 {
namespace {
#include "backend/cpu/kernels/simd_avx512bf16.h"

#include "backend/cpu/kernels/generic/linear.inl"
}  // namespace
}  // namespace fedlora::avx512bf16

FEDLORA_TARGET_END

namespace fedlora::avx512bf16 {

#include "backend/cpu/kernels/generic/fill_linear.inl"

}  // namespace fedlora::avx512bf16

#endif
