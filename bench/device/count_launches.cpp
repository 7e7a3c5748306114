#include "count_launches.h"

#include <cuda_runtime.h>

namespace {
int64_t launches = 0;
}

int64_t kernel_launches() { return launches; }

// What nvcc makes of kernel<<<…>>>(…) calls (crt/host_runtime.h of CUDA 13).
extern "C" cudaError_t __real___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                                                 cudaStream_t stream);
extern "C" cudaError_t __wrap___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                                                 cudaStream_t stream) {
  ++launches;
  return __real___cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}
