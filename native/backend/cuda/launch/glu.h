/// ops.def: glu_forward, glu_backward.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/queue.h"
#include "backend/ops.h"

namespace fedlora::cuda {

void glu_forward(const Queue& queue, Activate kind, int64_t count, const void* gate, const void* up, void* h, Element element);
void glu_backward(const Queue& queue, Activate kind, int64_t count, const void* gate, const void* up, const void* d_h, void* d_gate,
                  void* d_up, void* h, Element element);

}  // namespace fedlora::cuda
