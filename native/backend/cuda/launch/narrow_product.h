/// Products in bf16 of which one side is a rank (device/narrow_product.cuh). They leave parts that join_all
/// (small_tasks.h) adds up.
#pragma once
#include <cstddef>
#include <cstdint>

#include "backend/cuda/launch/queue.h"

namespace fedlora::cuda {

size_t narrow_partial_bytes(int64_t M, int64_t R, int64_t depth);
/// partial [slices][M][R] = left [M,depth]·right [R,depth]ᵀ of each slice of the depth (heuristics/slices.h).
void narrow_product(const Queue& queue, int64_t M, int64_t R, int64_t depth, const void* left, int64_t left_stride, const void* right,
                    int64_t right_stride, float* partial);

/// partial [slices][P][Q] = leftᵀ·right of each slice of `slice_rows` rows; left [rows,P], right [rows,Q].
void narrow_row_sums(const Queue& queue, int64_t rows, int64_t slice_rows, int64_t P, int64_t Q, const void* left, int64_t left_stride,
                     const void* right, int64_t right_stride, float* partial);

}  // namespace fedlora::cuda
