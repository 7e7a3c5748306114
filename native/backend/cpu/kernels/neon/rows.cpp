/// Kernels of neon: none of its own, so that the level below serves.
#if defined(__aarch64__)
#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::neon {
void fill_rows(KernelTable&) {}
}  // namespace fedlora::neon

#endif
