/// Numbers into the types that GGUF files are written in: f32, f16 and bf16 round to nearest even; blocks of 32 as ggml's reference does:
///
///   Q8_0   d = max|w| / 127,  q = round(w / d), halves away from zero
///   Q4_0   d = −w_max / 8 with w_max the number of largest magnitude, its sign kept,  q = min(15, ⌊w / d + 8.5⌋)
///
/// 1/d is taken before d is rounded to f16, all in float32. Source: github.com/ggml-org/ggml, src/ggml-quants.c, quantize_row_q*_ref.
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace fedlora {

/// True for F32, F16, BF16, Q8_0 and Q4_0.
bool can_encode_ggml(DType dtype);

/// `count` numbers, whole blocks of them, into `out`; E_DTYPE for a type that is not written. Numbers are finite: the caller's duty.
void encode_ggml(DType dtype, const float* x, int64_t count, uint8_t* out);

}  // namespace fedlora
