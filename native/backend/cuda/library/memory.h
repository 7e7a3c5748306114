/// The table's functions over memory of the device.
#pragma once
#include "backend/cuda/library/context.h"

namespace fedlora::cuda {

/// Zeros.
void* allocate(Context& context, int64_t bytes);
void release(Context& context, void* block) noexcept;
void upload(Context& context, const void* from, void* to, int64_t bytes);
/// Waits for everything on the stream.
void download(Context& context, const void* from, void* to, int64_t bytes);
void copy(Context& context, const void* from, void* to, int64_t bytes);
void zero(Context& context, void* to, int64_t bytes);
void synchronize(Context& context);
int64_t free_bytes();

}  // namespace fedlora::cuda
