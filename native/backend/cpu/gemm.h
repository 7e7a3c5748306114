/// Products with packed weights: out[m,c] = scale · Σ_terms Σ_k a[m,k]·w(k,c) + bias[c].
///
/// A weight stays packed in memory. For some output columns it is decoded row by row into the first cache, laid out as a panel
/// (kernels/linear_types.h) in the second, and used for all rows. Several terms share one accumulation in registers: x·Wᵀ and the adapter's
/// h·(s·B)ᵀ, or d_y·W and d_h·A of every target. A sum that is longer than the panel rests in f32 between panels, which changes no bit, so
/// that an element's value depends on its own row and column only.
#pragma once
#include <algorithm>
#include <span>

#include "backend/cpu/kernels/kernel_table.h"
#include "backend/cpu/scratch.h"
#include "backend/ops.h"

namespace fedlora {

/// Σ_k a[m,k]·w(k,c).   `rows`: w(k,c) = weight[c,k] (y = x·Wᵀ).   `columns`: w(k,c) = weight[k,c] (d_x = d_y·W).
/// T is the activations' element: float or bf16.
template <class T>
struct GemmTerm {
  enum Reads { rows, columns };
  Reads reads = rows;
  const T* a = nullptr;  // row 0 of the call's rows
  int64_t a_stride = 0;
  WeightView weight;

  int64_t k() const { return reads == rows ? weight.K : weight.N; }
};

/// Rows that have further terms of their own: those of an adapter.
template <class T>
struct GemmRows {
  int64_t begin = 0, end = 0;
  std::span<const GemmTerm<T>> terms;
  bool keep_sum = false;  // leave the bare sum in the workspace's `sum` instead of writing `out`
  float scale = 1;        // multiplies the product's
};

template <class T>
struct GemmProduct {
  int64_t column_begin = 0, column_end = 0;  // at most `panel_columns`
  std::span<const GemmTerm<T>> terms;        // of all rows
  std::span<const GemmRows<T>> rows;         // disjoint; rows that no range names are left alone
  float scale = 1;
  const float* bias = nullptr;  // bias[c] for column c
  void* out = nullptr;          // row 0, column column_begin
  bool out_bf16 = false;
  int64_t out_stride = 0;

  void write(float* to, int64_t stride) { out = to, out_bf16 = false, out_stride = stride; }
  void write(bf16* to, int64_t stride) { out = to, out_bf16 = true, out_stride = stride; }
};

/// How large the panels are: a pure matter of speed.
struct GemmShape {
  int64_t panel_columns, panel_steps;
};
/// Panels for the second cache when many rows reuse them, for the first when hardly any do.
inline GemmShape gemm_shape(int64_t M) { return M > 16 ? GemmShape{128, 1024} : GemmShape{64, 128}; }

template <class T>
class Gemm {
 public:
  explicit Gemm(const KernelTable& table) : table_(table), kernels_(of<T>(table)) {}

  /// Elements of k in a panel's step: 2 where bf16 is multiplied in pairs.
  int64_t per_step() const { return sizeof(T) == 2 && table_.pairs ? 2 : 1; }
  int64_t steps(int64_t k) const { return (k + per_step() - 1) / per_step(); }

  int64_t steps_of(std::span<const GemmTerm<T>> terms) const {
    int64_t total = 0;
    for (const GemmTerm<T>& term : terms) total += steps(term.k());
    return total;
  }

  /// Bytes that each member's workspace needs for products of M rows: the steps of the common terms, and the most over one range's own.
  size_t workspace_bytes(GemmShape shape, int64_t M, int64_t common_steps, int64_t own_steps, bool keep_sum) const;

  /// One product on one thread. `workspace`: 64-byte aligned, of the size above with the same shape. Returns where the kept sums lie:
  /// [M, panel_columns].
  float* multiply(GemmShape shape, int64_t M, const GemmProduct<T>& product, void* workspace) const;

  const KernelTable& table() const { return table_; }
  const TypedKernels<T>& kernels() const { return kernels_; }

 private:
  /// Packs [k_begin, k_begin + k) of a term for columns [begin, end).
  void pack(const GemmTerm<T>& term, int64_t k_begin, int64_t k, int64_t begin, int64_t end, T* decoded, uint32_t* panel) const;

  const KernelTable& table_;
  const TypedKernels<T>& kernels_;
};

/// Columns [0, N) in near-equal ranges that begin at multiples of 32 (whole vectors, and half a 4-bit block), at most `widest` wide (a
/// multiple of 32); their number is a multiple of `threads` where that is possible. The wide ones come first, so that threads which take
/// them in turn end together.
class ColumnSplit {
 public:
  ColumnSplit(int64_t N, int64_t widest, int64_t threads);
  int64_t count() const { return count_; }
  int64_t begin(int64_t i) const { return (i * (units_ / count_) + std::min(i, units_ % count_)) * unit; }
  int64_t end(int64_t i) const { return i + 1 == count_ ? N_ : begin(i + 1); }

 private:
  static constexpr int64_t unit = 32;
  int64_t N_, units_, count_;
};

}  // namespace fedlora
