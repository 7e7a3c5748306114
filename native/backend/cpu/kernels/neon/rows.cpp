/// Kernels over rows and elements, on NEON.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::neon {
namespace {
#include "backend/cpu/kernels/simd_neon.h"

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
#include "backend/cpu/kernels/generic/roof.inl"
}  // namespace
}  // namespace fedlora::neon

namespace fedlora::neon {

void fill_rows(KernelTable& table) {
#define KERNEL(kernel, ...) table.kernel = kernel;
#define TYPED(kernel, ...) of<float>(table).kernel = kernel##_f32, of<bf16>(table).kernel = kernel##_bf16;
#include "backend/cpu/kernels/kernels_rows.def"
#undef TYPED
#undef KERNEL
}

}  // namespace fedlora::neon

#endif
