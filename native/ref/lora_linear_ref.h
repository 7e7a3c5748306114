/// The book: a frozen linear layer with a LoRA adapter a segment of rows (Hu et al. 2021), and its gradient.
///
///   h = drop(x)·Aᵀ            y = x·Wᵀ + bias + s·h·Bᵀ + s·(x·A_resᵀ)·B_resᵀ
///   d_B += s·d_yᵀ·h           d_h = s·d_y·B           d_A += d_hᵀ·drop(x)
///   d_x  = d_y·W + drop'(d_h·A) + s·(d_y·B_res)·A_res  (no d_W, d_A_res, d_B_res: they are frozen)
///
/// x [M,K] · W [N,K] · bias [N] · A [R,K] · B [N,R] · A_res [P,K] · B_res [N,P] · h [M,h_stride] · y [M,N].
/// drop zeroes an element with probability p and scales the rest by 1/(1−p). The draw of element (m,k) is word e mod 4 of Philox
/// counter e div 4, where e = (m − row_begin)·K + k; the element is kept when uniform(draw) ≥ p.
#pragma once
#include <cstdint>
#include <span>

namespace fedlora::ref {

template <class Real>
struct Adapter {
  int64_t row_begin = 0, row_end = 0;  // the rows that use it
  int rank = 0;
  double scaling = 0;
  const Real* A = nullptr;
  const Real* B = nullptr;
  Real* d_A = nullptr;  // null: not wanted
  Real* d_B = nullptr;
  float dropout = 0;
  uint64_t dropout_seed = 0, dropout_stream = 0;
  int frozen_rank = 0;  // P; 0: no residual
  const Real* A_res = nullptr;
  const Real* B_res = nullptr;
};

/// What drop multiplies element `index` of a segment's x by: 0 or 1/(1−p).
double dropout_factor(float probability, uint64_t seed, uint64_t stream, uint64_t index);

/// h is written for the rows of a segment only; it may be null when there are no adapters.
template <class Real>
void lora_linear_forward(int64_t M, int64_t N, int64_t K, const Real* x, const Real* W, const Real* bias,
                         std::span<const Adapter<Real>> adapters, Real* h, int64_t h_stride, Real* y);

/// d_x = this projection's gradient (projections that share x add theirs up outside); null: not wanted.
template <class Real>
void lora_linear_backward(int64_t M, int64_t N, int64_t K, const Real* x, const Real* W, std::span<const Adapter<Real>> adapters,
                          const Real* h, int64_t h_stride, const Real* d_y, Real* d_x);

}  // namespace fedlora::ref
