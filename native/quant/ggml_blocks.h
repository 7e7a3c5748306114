/// Numbers as GGUF stores them: blocks of 32 or 256 along a row, each with its scales. All products and sums are in float32, rounded in the
/// order that is written; d, m and dmin are f16, s and t whole numbers.
///
///   Q4_0   d, 16 bytes: low nibbles are w_0 … w_15, high ones w_16 … w_31              w = (q − 8)·d
///   Q4_1   d, m, 16 bytes                                                              w = q·d + m
///   Q5_0   d, 32 high bits (a uint32, bit i of w_i), 16 bytes                          w = (q − 16)·d
///   Q5_1   d, m, 32 high bits, 16 bytes                                                w = q·d + m
///   Q8_0   d, 32 int8                                                                  w = q·d
///   Q2_K   16 bytes of s (low nibble) and t (high), 64 bytes of q, d, dmin; runs of 16      w = (d·s)·q − (dmin·t)
///   Q3_K   32 bytes of high bits, 64 of low ones, 12 of s (6 bits, less 32), d; runs of 16  w = (d·s)·(q − 4)
///   Q4_K   d, dmin, 12 bytes of s and t (6 bits each), 128 of q; runs of 32                 w = (d·s)·q − (dmin·t)
///   Q5_K   d, dmin, 12 bytes of s and t, 32 of high bits, 128 of low ones; runs of 32       w = (d·s)·q − (dmin·t)
///   Q6_K   128 bytes of low nibbles, 64 of high pairs of bits, 16 of s (int8), d; runs of 16    w = (d·s)·(q − 32)
/// Source: github.com/ggml-org/ggml, src/ggml-common.h (layout) and ggml-quants.c (order of rounding).
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace fedlora {

/// `blocks` whole blocks at `data` as float32. A type without blocks is E_INTERNAL.
void decode_blocks(DType dtype, const uint8_t* data, int64_t blocks, float* out);

/// Elements [first, first + count) of the numbers at `data`; any range of them.
void decode_blocked(DType dtype, const uint8_t* data, int64_t first, int64_t count, float* out);

}  // namespace fedlora
