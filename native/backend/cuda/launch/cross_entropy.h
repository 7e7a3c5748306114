/// ops.def: linear_cross_entropy, head_logits. targets and grad_scales lie on the device.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

/// Rows whose logits are held together: f32 [rows, V] of at most 256 MiB, but one at least.
int64_t cross_entropy_rows(int64_t M, int64_t V);
/// Bytes of `workspace`: the decoded head where it has to be decoded, a chunk's logits, and in bf16 training its gradient [rows, V].
/// A chunk reads the head once for logits and once for d_x, writes and reads the logits, and writes and reads the gradient.
size_t cross_entropy_workspace(int64_t M, const DeviceMatrix& head, Element element, bool training);

void linear_cross_entropy(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, const int32_t* targets,
                          const float* grad_scales, float* losses, uint8_t* correct, void* d_x, Element element, void* workspace);

size_t head_logits_workspace(const DeviceMatrix& head, Element element);
void head_logits(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, float* logits, Element element,
                 void* workspace);

}  // namespace fedlora::cuda
