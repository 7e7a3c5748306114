/// int8: one float32 absmax a row.      q = round_half_even(h × ((1 / absmax) × 127)),  w = (q × absmax) / 127
/// h is the weight rounded to f16, since bitsandbytes casts to half before it quantises. A row of zeros gets q = 0, absmax = 0.
/// Source: Dettmers et al. 2022, arXiv:2208.07339 §3; bitsandbytes backends/default/ops.py, int8_vectorwise_quant.
#pragma once
#include "base/thread_pool.h"
#include "quant/matrix.h"
#include "tensor/source.h"

namespace fedlora {

/// Throws E_NONFINITE also for numbers that overflow f16 (|w| ≥ 65520).
Matrix encode_int8(const TensorView& weight, ThreadPool& pool);

void decode_int8(const Matrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace fedlora
