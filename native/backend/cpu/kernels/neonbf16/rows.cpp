/// Kernels of neonbf16: none of its own, so that the level below serves.
#if defined(__aarch64__)
#include "backend/cpu/kernels/kernel_table.h"

namespace fedlora::neonbf16 {
void fill_rows(KernelTable&) {}
}  // namespace fedlora::neonbf16

#endif
