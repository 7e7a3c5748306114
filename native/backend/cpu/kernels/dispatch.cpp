/// Which kernel runs: the tables of the instruction sets laid over each other, weakest first.
#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora {

namespace {
struct Tables {
  KernelTable own[isa_levels];
  KernelTable resolved[isa_levels];
  Tables() {
#define LEVEL(name, needs)                             \
  name::fill_linear(own[static_cast<int>(Isa::name)]); \
  name::fill_rows(own[static_cast<int>(Isa::name)]);
#include "base/isa_levels.def"
#undef LEVEL
    for (int level = 0; level < isa_levels; ++level) {
      if (level > 0) resolved[level] = resolved[level - 1];
      if (own[level].lanes > 0) {
        resolved[level].lanes = own[level].lanes;
        resolved[level].group_columns = own[level].group_columns;
        resolved[level].pairs = own[level].pairs;
      }
#define KERNEL(kernel, ...) \
  if (own[level].kernel) resolved[level].kernel = own[level].kernel;
#define TYPED(kernel, ...) KERNEL(TypedKernels<float>::kernel) KERNEL(TypedKernels<bf16>::kernel)
#include "backend/cpu/kernels/kernel_list.def"
#undef TYPED
#undef KERNEL
    }
  }
};
const Tables& tables() {
  static const Tables all;
  return all;
}
}  // namespace

const KernelTable& kernel_table(Isa isa) { return tables().resolved[static_cast<int>(isa)]; }
const KernelTable& own_kernel_table(Isa isa) { return tables().own[static_cast<int>(isa)]; }

}  // namespace fedlora
