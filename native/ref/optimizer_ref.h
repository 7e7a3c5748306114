/// The book: one step of the optimisers, in double.
///
///   AdamW (Loshchilov & Hutter 2019):   g = grad_scale·gradient      p ← p·(1 − lr·wd)
///     m ← β₁m + (1 − β₁)g      v ← β₂v + (1 − β₂)g²      p ← p − lr · (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
///   SGD with momentum:   g = grad_scale·gradient + wd·p      b ← g at the first step, μb + g after      p ← p − lr·b
///
/// Both zero the gradient. Before them, what an algorithm adds to it (the proximal term of Li et al. 2020, FedProx, equation 2; the control
/// variates of Karimireddy et al. 2020, SCAFFOLD, algorithm 1):   g ← g + μ·(p − anchor) + correction
#pragma once
#include <cstdint>

#include "backend/ops.h"

namespace fedlora::ref {

/// anchor, correction: null to leave them out.
template <class Real>
void gradient_terms(double mu, int64_t count, const Real* parameter, const Real* anchor, const Real* correction, Real* gradient);

template <class Real>
void adamw(const AdamWStep& step, int64_t count, Real* parameter, Real* gradient, Real* moment1, Real* moment2);

/// momentum_buffer may be null when momentum is 0.
template <class Real>
void sgd(double learning_rate, double momentum, double weight_decay, double grad_scale, bool first_step, int64_t count, Real* parameter,
         Real* gradient, Real* momentum_buffer);

}  // namespace fedlora::ref
