/// Outside of every target region: it runs on each processor, before one is chosen.
void fill_rows(KernelTable& table) {
#define KERNEL(kernel, ...) table.kernel = kernel;
#define TYPED(kernel, ...) of<float>(table).kernel = kernel##_f32, of<bf16>(table).kernel = kernel##_bf16;
#include "backend/cpu/kernels/kernels_rows.def"
#undef TYPED
#undef KERNEL
}
