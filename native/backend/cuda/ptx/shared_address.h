/// The 32-bit address of shared memory that PTX instructions take.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

#if defined(__CUDACC__)
DEV u32 shared_address(const void* p) { return static_cast<u32>(__cvta_generic_to_shared(p)); }
#else
DEV u32 shared_address(const void* p) { return emulator::shared_offset(p, 1, 1, "shared address"); }
#endif

}  // namespace fedlora::cuda
