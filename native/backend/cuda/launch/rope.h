/// ops.def: rope. positions lie on the device.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

void rope(const Queue& queue, int64_t M, int heads, int head_dim, const int32_t* positions, const float* cosine, const float* sine,
          bool inverse, void* x, Element element);

}  // namespace fedlora::cuda
