/// The book: gated linear units (Shazeer 2020) and their gradient.   h = act(gate) ∘ up, all [count]
///
///   silu(z) = z·σ(z)                         silu' = σ·(1 + z·(1 − σ))
///   gelu_tanh(z) = ½z(1 + tanh u)            u = √(2/π)(z + 0.044715 z³)      gelu' = ½(1 + t) + ½z(1 − t²)·u',   t = tanh u
///   gelu(z) = z·Φ(z)                         gelu' = Φ(z) + z·φ(z), Φ and φ of the standard normal distribution
///   relu(z) = max(z, 0)                      relu' = [z > 0]
///   d_up = d_h ∘ act(gate)                   d_gate = d_h ∘ up ∘ act'(gate)
#pragma once
#include <cstdint>

#include "backend/ops.h"

namespace fedlora::ref {

double activate(Activate kind, double z);
double activate_derivative(Activate kind, double z);

template <class Real>
void glu_forward(Activate kind, int64_t count, const Real* gate, const Real* up, Real* h);
template <class Real>
void glu_backward(Activate kind, int64_t count, const Real* gate, const Real* up, const Real* d_h, Real* d_gate, Real* d_up);

}  // namespace fedlora::ref
