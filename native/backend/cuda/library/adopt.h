/// Weights on the device: one block of memory a matrix.
#pragma once
#include "backend/cuda/library/context.h"

namespace fedlora::cuda {

const DeviceMatrix* adopt(Context& context, const HostMatrix& matrix);
void drop(Context& context, const DeviceMatrix* matrix) noexcept;
/// Of its block.
int64_t matrix_bytes(const DeviceMatrix* matrix);

}  // namespace fedlora::cuda
