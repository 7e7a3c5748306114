/// ops.def: linear_cross_entropy, head_logits. targets and grad_scales lie on the device.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

/// Bytes of logits that are held together.
constexpr int64_t logits_budget = int64_t{256} << 20;
/// Their rows: a chunk is f32 [rows, V], of one row at least.
int64_t cross_entropy_rows(int64_t M, int64_t V, int64_t budget = logits_budget);
/// Bytes of `workspace`: the decoded head where it has to be decoded, a chunk's logits, and in bf16 training the gradient [rows, V] of two.
/// A chunk reads the head for its logits and writes and reads these; two together write and read their gradient, and read the head for d_x.
size_t cross_entropy_workspace(int64_t M, const DeviceMatrix& head, Element element, bool training, int64_t budget = logits_budget);

void linear_cross_entropy(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, const int32_t* targets,
                          const float* grad_scales, float* losses, uint8_t* correct, void* d_x, Element element, void* workspace,
                          int64_t budget = logits_budget);

size_t head_logits_workspace(const DeviceMatrix& head, Element element);
void head_logits(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, float* logits, Element element,
                 void* workspace);

}  // namespace fedlora::cuda
