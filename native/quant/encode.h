/// The two doors of this room: a plain weight into its packed form, and the exact numbers back.
#pragma once
#include "base/thread_pool.h"
#include "quant/matrix.h"
#include "tensor/source.h"

namespace fedlora {

/// Packs `weight` [N, K] (F32, F16, BF16 or blocks of GGUF, which are decoded). The result does not depend on the number of threads.
/// `block` (64 or 128) and `double_quantization` concern nf4 and fp4 only and are ignored by the other formats.
/// Throws E_SHAPE, E_DTYPE, E_ARGUMENT (block), E_NONFINITE (NaN, infinity, or too large for the format: names the index), E_MEMORY.
Matrix encode_matrix(Format format, const TensorView& weight, int block, bool double_quantization, ThreadPool& pool);

/// Elements [first, first + count) of the flattened matrix as float32, each rounded as bitsandbytes does. Slow and plain: the truth that
/// the kernels are judged against. Throws E_ARGUMENT when the range is outside.
void decode(const Matrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace fedlora
