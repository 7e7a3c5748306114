/// ops.def: embedding_forward, gather_rows, scatter_rows. ids and rows lie on the device.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

/// table in f32, f16 or bf16.
void embedding_forward(const Queue& queue, int64_t M, const int32_t* ids, const DeviceMatrix& table, float multiplier, float* x);
void gather_rows(const Queue& queue, int64_t count, int64_t K, const int32_t* rows, const void* x, void* out, Element element);
void scatter_rows(const Queue& queue, int64_t M, int64_t K, int64_t count, const int32_t* rows, const void* in, void* x, Element element);

}  // namespace fedlora::cuda
