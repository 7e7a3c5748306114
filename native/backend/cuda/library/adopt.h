/// Weights on the device: one block of memory a matrix.
#pragma once
#include "backend/cuda/library/context.h"

namespace fedlora::cuda {

/// `decoded`: a matrix in codes as bf16 numbers.
const DeviceMatrix* adopt(Context& context, const HostMatrix& matrix, bool decoded);
void drop(Context& context, const DeviceMatrix* matrix) noexcept;
/// Of its block.
int64_t matrix_bytes(const DeviceMatrix* matrix);

}  // namespace fedlora::cuda
