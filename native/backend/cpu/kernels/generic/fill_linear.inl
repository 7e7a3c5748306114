/// Outside of every target region: it runs on each processor, before one is chosen.
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
