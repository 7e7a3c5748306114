/// Kernels of the linear layers, on NEON.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "backend/cpu/kernels/kernel_table.h"
#include "quant/matrix.h"

namespace fedlora::neon {
namespace {
#include "backend/cpu/kernels/simd_neon.h"

#include "backend/cpu/kernels/generic/convert.inl"
#include "backend/cpu/kernels/generic/decode.inl"
#include "backend/cpu/kernels/generic/matvec.inl"
#include "backend/cpu/kernels/generic/dropout.inl"
#include "backend/cpu/kernels/generic/gemm.inl"
#include "backend/cpu/kernels/generic/pack.inl"
#include "backend/cpu/kernels/generic/outer.inl"
}  // namespace
}  // namespace fedlora::neon

namespace fedlora::neon {

void fill_linear(KernelTable& table) {
  table.lanes = W;
  table.group_columns = max_vecs * W;
  table.pairs = Bf16Operand::per_step == 2;
#define KERNEL(kernel, ...) table.kernel = kernel;
#define TYPED(kernel, ...) of<float>(table).kernel = kernel##_f32, of<bf16>(table).kernel = kernel##_bf16;
#include "backend/cpu/kernels/kernels_linear.def"
#undef TYPED
#undef KERNEL
}

}  // namespace fedlora::neon

#endif
