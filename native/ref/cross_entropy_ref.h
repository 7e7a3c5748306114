/// The book: the head and the cross-entropy of its softmax, and the gradient of the head's input.
///
///   z = x·Wᵀ / divider + bias     logits = z, or cap·tanh(z / cap) with a soft cap          x [M,K] · W [V,K] · logits [M,V]
///   losses[m] = log Σ_v exp(logits[m,v]) − logits[m,target]    correct[m] = (the first largest logit is the target)
///   d_x = grad_scale · ((softmax(logits) − onehot(target)) ∘ dlogits/dz)·W / divider        dlogits/dz = 1 − (logits / cap)²
#pragma once
#include <cstdint>
#include <span>

#include "backend/ops.h"

namespace fedlora::ref {

template <class Real>
void head_logits(int64_t M, int64_t V, int64_t K, const Real* x, const Real* W, const LogitShape& shape, Real* logits);

/// correct and d_x may be null.
template <class Real>
void linear_cross_entropy(int64_t M, int64_t V, int64_t K, const Real* x, const Real* W, const LogitShape& shape,
                          std::span<const int32_t> targets, double grad_scale, Real* losses, uint8_t* correct, Real* d_x);

}  // namespace fedlora::ref
