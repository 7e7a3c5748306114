/// ldmatrix and mma.sync: the tensor cores as a warp uses them (PTX ISA, "Warp Level Matrix Instructions": the fragments' layouts).
#pragma once
#include <cstdint>

namespace emulator {

/// `count` 8×8 matrices of 16-bit elements; lane l names row l % 8 of matrix l / 8.
void ldmatrix(uint32_t* fragment, const void* row, int count, bool transposed);

/// D[16,8] += A[16,K]·B[K,8]; A row-major fragments, B column-major.
void mma_bf16(float* d, const uint32_t* a, const uint32_t* b);  // K 16
void mma_tf32(float* d, const uint32_t* a, const uint32_t* b);  // K 8
void mma_s8(int32_t* d, const uint32_t* a, const uint32_t* b);  // K 32

}  // namespace emulator
