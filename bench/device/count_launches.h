/// Kernels that this program has launched: linked with --wrap=__cudaLaunchKernel, each launch passes by here.
#pragma once
#include <cstdint>

int64_t kernel_launches();
