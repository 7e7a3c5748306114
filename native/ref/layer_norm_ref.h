/// The book: LayerNorm of rows (Ba et al. 2016), with the residual add in front, and its gradient.
///
///   x += delta                          x, delta [M,K]; delta may be null
///   rstd = 1 / √(mean((x − μ)²) + eps), μ = mean(x)      moments [M,2]: μ, rstd
///   y = (x − μ)·rstd·weight + bias      weight, bias [K], y [M,K]
///
/// With x̂ = (x − μ)·rstd and g = weight ∘ d_y:   d_x = rstd·(g − mean(g) − x̂·mean(g ∘ x̂)).   Weight and bias are frozen.
#pragma once
#include <cstdint>

namespace fedlora::ref {

/// x is updated in place; y and moments are written.
template <class Real>
void layer_norm_forward(int64_t M, int64_t K, Real* x, const Real* delta, const Real* weight, const Real* bias, double eps, Real* y,
                        Real* moments);

/// d_x += the gradient; x is the value after the add.
template <class Real>
void layer_norm_backward(int64_t M, int64_t K, const Real* d_y, const Real* x, const Real* moments, const Real* weight, Real* d_x);

}  // namespace fedlora::ref
