/// Kernels over rows and elements, on NEON with BF16.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "backend/cpu/kernels/kernel_table.h"
#include "base/target.h"

FEDLORA_TARGET_BEGIN(FEDLORA_NEONBF16)

namespace fedlora::neonbf16 {
namespace {
#include "backend/cpu/kernels/simd_neonbf16.h"

#include "backend/cpu/kernels/generic/exp.inl"

#include "backend/cpu/kernels/generic/embedding.inl"
#include "backend/cpu/kernels/generic/soft_cap.inl"
#include "backend/cpu/kernels/generic/rms_norm.inl"
#include "backend/cpu/kernels/generic/residual.inl"
#include "backend/cpu/kernels/generic/layer_norm.inl"
#include "backend/cpu/kernels/generic/rope.inl"
#include "backend/cpu/kernels/generic/attention_tile.inl"
#include "backend/cpu/kernels/generic/attention_pack.inl"
#include "backend/cpu/kernels/generic/attention_forward.inl"
#include "backend/cpu/kernels/generic/attention_backward.inl"
#include "backend/cpu/kernels/generic/attention_decode.inl"
#include "backend/cpu/kernels/generic/glu.inl"
#include "backend/cpu/kernels/generic/cross_entropy.inl"
#include "backend/cpu/kernels/generic/optimizer.inl"
#define FEDLORA_PAIR_DOT
#include "backend/cpu/kernels/generic/roof.inl"
#undef FEDLORA_PAIR_DOT
}  // namespace
}  // namespace fedlora::neonbf16

FEDLORA_TARGET_END

namespace fedlora::neonbf16 {

void fill_rows(KernelTable& table) {
#define KERNEL(kernel, ...) table.kernel = kernel;
#define TYPED(kernel, ...) of<float>(table).kernel = kernel##_f32, of<bf16>(table).kernel = kernel##_bf16;
#include "backend/cpu/kernels/kernels_rows.def"
#undef TYPED
#undef KERNEL
}

}  // namespace fedlora::neonbf16

#endif
