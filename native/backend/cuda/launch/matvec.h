/// ops.def: lora_linear_decode of one target, head_logits_decode.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/launch/queue.h"
#include "backend/ops.h"

namespace fedlora::cuda {

size_t lora_decode_workspace(const LoraPair& pair);
/// x, y of `element`. pair: rank 0 for none.
void lora_linear_decode(const Queue& queue, const void* x, const DeviceMatrix& W, const float* bias, const LoraPair& pair, void* y,
                        Element element, void* workspace);
void head_logits_decode(const Queue& queue, const void* x, const DeviceMatrix& head, float divider, float* logits, Element element);

}  // namespace fedlora::cuda
