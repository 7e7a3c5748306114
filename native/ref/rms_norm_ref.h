/// The book: root-mean-square norm of rows (Zhang & Sennrich 2019), with the residual add in front, and its gradient.
///
///   x += delta                      x, delta [M,K]; delta may be null
///   rstd = 1 / √(mean(x²) + eps)    [M]
///   y = x · rstd · weight           weight [K], y [M,K]
///
/// With x̂ = x·rstd and g = weight ∘ d_y:   d_x = rstd · (g − x̂ · mean(g ∘ x̂)).   The weight is frozen.
/// The norm of heads (q_norm, k_norm) is the same formula over rows of K = head_dim.
#pragma once
#include <cstdint>

namespace fedlora::ref {

/// x is updated in place; y and rstd are written.
template <class Real>
void rms_norm_forward(int64_t M, int64_t K, Real* x, const Real* delta, const Real* weight, double eps, Real* y, Real* rstd);

/// d_x += the gradient (the residual stream carries its own); x is the value after the add.
template <class Real>
void rms_norm_backward(int64_t M, int64_t K, const Real* d_y, const Real* x, const Real* rstd, const Real* weight, Real* d_x);

}  // namespace fedlora::ref
