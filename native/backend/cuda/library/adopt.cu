#include "backend/cuda/library/adopt.h"

#include <memory>

#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/library/memory.h"

namespace fedlora::cuda {

namespace {

/// What kernels read, and the memory it lies in: the scales, when there are some, behind the data at the next multiple of 256.
struct Held : DeviceMatrix {
  unsigned char* memory;
  int64_t bytes;
};

constexpr int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

const DeviceMatrix* adopt(Context& context, const HostMatrix& matrix) {
  const int64_t scales = matrix.absmax.size * static_cast<int64_t>(sizeof(float));
  const int64_t scales_at = aligned(matrix.data.size);
  auto held = std::make_unique<Held>();
  held->bytes = scales_at + aligned(scales);
  held->memory = static_cast<unsigned char*>(allocate(context, held->bytes));
  held->format = matrix.format;
  held->N = matrix.N;
  held->K = matrix.K;
  held->block = matrix.block;
  held->data = held->memory;
  held->absmax = scales == 0 ? nullptr : reinterpret_cast<const float*>(held->memory + scales_at);
  try {
    upload(context, matrix.data.data, held->memory, matrix.data.size);
    if (scales > 0) upload(context, matrix.absmax.data, held->memory + scales_at, scales);
  } catch (...) {
    release(context, held->memory);
    throw;
  }
  return held.release();
}

void drop(Context& context, const DeviceMatrix* matrix) noexcept {
  const auto* held = static_cast<const Held*>(matrix);
  release(context, held->memory);
  delete held;
}

int64_t matrix_bytes(const DeviceMatrix* matrix) { return static_cast<const Held*>(matrix)->bytes; }

}  // namespace fedlora::cuda
