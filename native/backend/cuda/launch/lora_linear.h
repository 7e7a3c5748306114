/// ops.def: lora_linear_forward, lora_linear_backward.
///
/// A segment of rows, or rows between segments, at a time: each row's sums are those it would have alone. The base weight and the adapter's
/// factors are products of one sum (gemm.h). Factors are cast to the activations' element once a call, where s·B and, with dropout,
/// A / (1 − p) are rounded as the CPU rounds them; h and d_h are rounded before they are used, too.
/// Sums over rows (d_A, d_B) go by slices of rows counted from the segment's first (heuristics/slices.h), and slices are added in order.
#pragma once
#include "backend/cuda/abi.h"
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

enum class Direction { forward, backward };

/// Bytes of `workspace`, of shapes, ranks and formats alone.
size_t lora_linear_workspace(Direction direction, View<const TargetView> targets, View<const SegmentView> segments, Element element);

void lora_linear_forward(const Queue& queue, int64_t M, const void* x, View<const TargetView> targets, View<const SegmentView> segments,
                         Element element, void* workspace);
/// d_x null: not wanted.
void lora_linear_backward(const Queue& queue, int64_t M, const void* x, View<const TargetView> targets, View<const SegmentView> segments,
                          void* d_x, Element element, void* workspace);

}  // namespace fedlora::cuda
