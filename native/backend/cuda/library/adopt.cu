#include "backend/cuda/library/adopt.h"

#include <algorithm>
#include <memory>

#include "backend/cuda/launch/decode_weight.h"
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

namespace {

struct Release {
  Context* context;
  void operator()(Held* held) const {
    release(*context, held->memory);
    delete held;
  }
};
using Holding = std::unique_ptr<Held, Release>;

/// An empty matrix of this form.
Holding make(Context& context, const HostMatrix& like, Format format, int64_t data_bytes, int64_t scale_bytes) {
  const int64_t scales_at = aligned(data_bytes), bytes = scales_at + aligned(scale_bytes);
  auto* memory = static_cast<unsigned char*>(allocate(context, bytes));
  const bool coded = scale_bytes > 0;
  return Holding(new Held{{format, like.N, like.K, coded ? like.block : 0, memory,
                           coded ? reinterpret_cast<const float*>(memory + scales_at) : nullptr},
                          memory,
                          bytes},
                 Release{&context});
}

Holding packed(Context& context, const HostMatrix& matrix) {
  const int64_t scales = matrix.absmax.size * static_cast<int64_t>(sizeof(float));
  Holding held = make(context, matrix, matrix.format, matrix.data.size, scales);
  upload(context, matrix.data.data, held->memory, matrix.data.size);
  if (scales > 0) upload(context, matrix.absmax.data, const_cast<float*>(held->absmax), scales);
  return held;
}

}  // namespace

const DeviceMatrix* adopt(Context& context, const HostMatrix& matrix, bool decoded) {
  Holding held = packed(context, matrix);
  if (!decoded || matrix.absmax.size == 0) {
    context.largest_slab = std::max(context.largest_slab, decoded_bytes(*held, context.element()));
    return held.release();
  }
  Holding numbers = make(context, matrix, Format::bf16, matrix.N * matrix.K * width_of(Element::bf16), 0);
  decode_weight(context.queue, *held, Element::bf16, numbers->memory);
  return numbers.release();
}

void drop(Context& context, const DeviceMatrix* matrix) noexcept {
  const auto* held = static_cast<const Held*>(matrix);
  release(context, held->memory);
  delete held;
}

int64_t matrix_bytes(const DeviceMatrix* matrix) { return static_cast<const Held*>(matrix)->bytes; }

}  // namespace fedlora::cuda
