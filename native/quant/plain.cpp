#include "quant/plain.h"

#include <atomic>

#include "base/error.h"
#include "quant/packed.h"
#include "quant/weight.h"

namespace fedlora {

namespace {

/// The smallest magnitude that rounds to infinity.
float limit_of(Format format) {
  if (format == Format::f16) return 65520.0f;
  if (format == Format::bf16) return std::bit_cast<float>(0x7f7f8000);
  return std::bit_cast<float>(infinity_bits);
}

void store(Format format, const float* x, int64_t first, int64_t count, uint8_t* data) {
  if (format == Format::f32) {
    std::memcpy(data + 4 * first, x, static_cast<size_t>(count) * 4);
    return;
  }
  uint16_t* out = reinterpret_cast<uint16_t*>(data) + first;
  if (format == Format::bf16)
    for (int64_t i = 0; i < count; ++i) out[i] = to_bf16(x[i]).bits;
  else
    for (int64_t i = 0; i < count; ++i) out[i] = to_f16(x[i]).bits;
}

}  // namespace

DType dtype_of(Format format) { return format == Format::f32 ? DType::f32 : format == Format::f16 ? DType::f16 : DType::bf16; }

std::optional<Format> plain_format(DType dtype) {
  for (const Format format : {Format::f32, Format::f16, Format::bf16})
    if (dtype_of(format) == dtype) return format;
  return std::nullopt;
}

Matrix encode_plain(Format format, const TensorView& weight, ThreadPool& pool) {
  check_weight(weight);
  Matrix matrix = make_matrix(format, weight.shape[0], weight.shape[1], 0, false);
  const DType dtype = dtype_of(format);
  const int64_t count = matrix.elements(), width = static_cast<int64_t>(dtype_bytes(dtype));

  std::atomic<bool> finite{true};
  const int32_t limit = magnitude_bits(limit_of(format));
  constexpr int64_t chunk = 1024, per_task = 64 * chunk;
  pool.run((count + per_task - 1) / per_task, [&](int64_t task, int) {
    float x[chunk];
    const int64_t end = std::min(count, (task + 1) * per_task);
    for (int64_t first = task * per_task; first < end; first += chunk) {
      const int64_t length = std::min(chunk, end - first);
      load_weight(weight, first, length, x);
      if (max_magnitude_bits(x, length) >= limit) return finite.store(false, std::memory_order_relaxed);
      if (weight.dtype == dtype)
        std::memcpy(matrix.data.data() + first * width, static_cast<const uint8_t*>(weight.data) + first * width,
                    static_cast<size_t>(length * width));
      else
        store(format, x, first, length, matrix.data.data());
    }
  });
  if (!finite) fail_nonfinite(weight, limit_of(format));
  return matrix;
}

void decode_plain(const Matrix& matrix, int64_t first, int64_t count, float* out) {
  TensorView view;
  view.dtype = dtype_of(matrix.format);
  view.shape = {matrix.N, matrix.K};
  view.data = matrix.data.data();
  view.bytes = matrix.data.bytes();
  load_weight(view, first, count, out);
}

}  // namespace fedlora
