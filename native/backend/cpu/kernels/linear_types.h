/// What the kernels of the linear layers are told. Plain structs; the caller owns every pointer.
///
/// A *panel* holds the right-hand side of a product for some output columns: column groups of `group_columns` (the last one narrower, a
/// multiple of `lanes`, zero-padded), each [steps, columns] dwords. A step is one k, as a float; or, for bf16 where the instruction set
/// multiplies pairs (KernelTable::pairs), the pair (2i, 2i + 1) in one dword, the first in the low half; an odd last k is paired with zero.
/// Without such an instruction bf16 operands are widened, and then step for step the product is that of f32.
#pragma once
#include <cstdint>

#include "quant/format.h"

namespace fedlora {

/// A weight [N,K] as decode kernels read it; also a float matrix of an adapter, times a constant.
struct WeightView {
  Format format = Format::f32;
  int64_t N = 0, K = 0;
  int block_shift = 0;  // log2 of the elements that share a scale (nf4, fp4)
  const uint8_t* data = nullptr;
  const float* absmax = nullptr;  // a block (nf4, fp4, not nested) or a row (int8)
  const uint8_t* nested_absmax = nullptr;
  const float* nested_scale = nullptr;
  float nested_offset = 0;
  const float* codebook = nullptr;     // 16 values (nf4, fp4)
  const float* dynamic_map = nullptr;  // 256 values (nested)
  float scale = 1;                     // multiplies f32 weights
};

/// One term of a sum of products: Σ_k a[m,k]·panel(k,column).
struct GemmSlice {
  const void* a = nullptr;  // [rows, k] of the kernel's element type
  int64_t a_stride = 0;     // elements
  const uint32_t* panel = nullptr;
  int64_t k = 0;
};

/// out[m,c] = scale · (carry_in[m,c] + Σ_slices) + bias[c], or carry_out[m,c] = the bare sum. Every element is summed in the order of k.
struct GemmCall {
  int64_t rows = 0, columns = 0;
  const GemmSlice* slices = nullptr;
  int64_t slice_count = 0;
  const float* carry_in = nullptr;  // null: start from 0
  float* carry_out = nullptr;       // not null: store the sum there and leave `out` alone
  int64_t carry_stride = 0;
  float scale = 1;
  const float* bias = nullptr;  // may be null
  void* out = nullptr;          // bf16 if out_bf16, else float
  bool out_bf16 = false;
  int64_t out_stride = 0;
  float* widened = nullptr;  // scratch for bf16 without pairs: widened_floats(all k, slice_count)
};
inline constexpr int64_t max_gemm_slices = 64;
inline constexpr int64_t widened_rows = 8;  // at most this many rows are widened at a time
constexpr int64_t widened_floats(int64_t all_k, int64_t slice_count) { return widened_rows * (all_k + 16 * slice_count); }

/// out[r][c] += Σ_m left(m,r)·right[m,c], summed in the order of m.
struct OuterCall {
  int64_t rows = 0, columns = 0, rank = 0;
  const uint32_t* left = nullptr;  // [steps, left_stride] dwords: floats, or pairs of rows (2i, 2i + 1)
  int64_t left_stride = 0;         // at least rank rounded up to outer_rank_step; the excess is arbitrary
  const void* right = nullptr;     // [rows, columns] of the kernel's element type
  int64_t right_stride = 0;
  float* const* out = nullptr;  // one row of output per r; null: not wanted
};

/// A multiple of every instruction set's vector length and of its step over ranks.
inline constexpr int64_t outer_rank_step = 16;

}  // namespace fedlora
