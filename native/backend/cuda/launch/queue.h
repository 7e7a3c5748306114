/// Where launches go.
#pragma once
#include <cuda_runtime.h>

namespace fedlora::cuda {

struct Queue {
  cudaStream_t stream;
  int architecture;  // 80, 86, 89, 90, …: 10 × major + minor of the device's compute capability
};

}  // namespace fedlora::cuda
