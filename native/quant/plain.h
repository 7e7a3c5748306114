/// f32, f16, bf16: the numbers themselves. A change of type rounds to nearest even.
#pragma once
#include <optional>

#include "base/thread_pool.h"
#include "quant/matrix.h"
#include "tensor/source.h"

namespace fedlora {

/// The element type of f32, f16 and bf16, and back; none for other types.
DType dtype_of(Format format);
std::optional<Format> plain_format(DType dtype);

/// Throws E_NONFINITE also for numbers that overflow the wanted type.
Matrix encode_plain(Format format, const TensorView& weight, ThreadPool& pool);

void decode_plain(const Matrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace fedlora
