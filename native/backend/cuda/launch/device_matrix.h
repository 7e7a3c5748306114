/// A frozen matrix W [N, K] as kernels read it: the packed bytes of quant/matrix.h in device memory, nested scales decoded.
#pragma once
#include <cstdint>

#include "quant/format.h"

namespace fedlora::cuda {

struct DeviceMatrix {
  Format format;
  int64_t N, K;
  int block;            // elements that share a scale: 64 or 128 for nf4 and fp4, else 0
  const void* data;     // as Matrix::data
  const float* absmax;  // nf4, fp4: [ceil(N·K / block)]; int8: [N]; else null
};

}  // namespace fedlora::cuda
