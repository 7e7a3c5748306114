/// Sums of matrix products:   C [M,N] = scale · Σ_i left_i·right_i + bias.
///
/// A weight, LoRA factors and a residual beside it, or the several targets of a backward, are products of one call: ranges of one sum,
/// added in order in f32, so that nothing is rounded or stored in between. The order of a sum depends on the products' depths and on
/// nothing else: not on M, nor on a row's place.
#pragma once
#include <span>

#include "backend/cuda/device/element.h"
#include "backend/cuda/device/product.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

/// 1 to `most_products` products of operands of `element`; C is `output`, rows `stride` elements apart (N: dense). Operands whose base is
/// aligned to 16 bytes and whose stride is a multiple of 8 elements are read in pieces of 16 bytes, others element by element.
/// f32: multiply-adds of f32. bf16: tensor cores, f32 sums.
void gemm(const Queue& queue, Element element, Element output, int64_t M, int64_t N, std::span<const Product> products,
          const Finish& finish);

}  // namespace fedlora::cuda
