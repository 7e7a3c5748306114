/// Sums of products in bf16 on sm_90a.
#pragma once
#include "backend/cuda/device/element.h"
#include "backend/cuda/device/product.h"
#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

/// Whether the TMA can read every operand (bases aligned to 16 bytes, strides a multiple of 8 elements) and all right operands lie the same
/// way. A list has at least one product.
bool fits_sm90(const ProductList& list);

/// gemm (gemm.h) of a list that fits, in tiles of 128 rows and 128 or 256 columns (heuristics/gemm.h).
void gemm_sm90(const Queue& queue, Element output, int64_t M, int64_t N, const ProductList& list, const Finish& finish, int tile_columns);

}  // namespace fedlora::cuda
