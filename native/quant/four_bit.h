/// nf4 and fp4: two codes a byte over the flattened weight, one float32 absmax a block. Equals bitsandbytes' quantize_4bit bit for bit.
///
///   full block       x_i = w_i × (1 / max(absmax, 1e-38))           stored scale: absmax
///   last, partial    x_i = w_i / max(absmax, 1e-38)                 stored scale: max(absmax, 1e-38)
///   code_i = number of ladder bounds strictly below x_i, through the ladder's order (codebook.h)
/// The high nibble comes first; with an odd count the last low nibble is the code of 0.
/// Source: bitsandbytes backends/default/ops.py, quantize_4bit.
#pragma once
#include "base/thread_pool.h"
#include "quant/matrix.h"
#include "tensor/source.h"

namespace fedlora {

/// Flat (not nested) nf4 or fp4. `block` is 64 or 128. Throws E_ARGUMENT, E_NONFINITE.
Matrix encode_4bit(Format format, const TensorView& weight, int block, ThreadPool& pool);

/// Elements [first, first + count), codebook[code] × absmax.
void decode_4bit(const Matrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace fedlora
