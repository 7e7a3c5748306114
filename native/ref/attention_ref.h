/// The book: causal attention (Vaswani et al. 2017) with grouped key/value heads (Ainslie et al. 2023), a sliding window, and
/// several sequences packed one after another: rows offsets[i] … offsets[i+1] see only one another.
///
///   s_ij = scale · q_i·k_j   for j in (i − window, i] (window 0: all j ≤ i)      p_ij = exp(s_ij − lse_i)      o_i = Σ_j p_ij v_j
///
/// With slopes (ALiBi, Press et al. 2022) the scores of head h are s_ij + slopes[h]·(j − i), of which gradients see nothing.
/// With a soft cap (Gemma 2) the scores of the softmax are c_ij = cap·tanh(s_ij / cap), and d_s_ij = d_c_ij·(1 − (c_ij / cap)²).
///
///   δ_i = d_o_i·o_i       d_s_ij = p_ij · (d_o_i·v_j − δ_i)
///   d_q_i = scale · Σ_j d_s_ij k_j      d_k_j = scale · Σ_i d_s_ij q_i      d_v_j = Σ_i p_ij d_o_i
///
/// q, o [M,H·D] · k, v [M,G·D] · lse [M,H]; query head h uses key/value head h / (H/G), whose gradient sums over its query heads.
#pragma once
#include <cstdint>
#include <span>

#include "backend/ops.h"

namespace fedlora::ref {

template <class Real>
void attention_forward(const AttentionShape& shape, std::span<const int64_t> offsets, const Real* q, const Real* k, const Real* v, Real* o,
                       Real* lse);

/// d_q, d_k, d_v are overwritten.
template <class Real>
void attention_backward(const AttentionShape& shape, std::span<const int64_t> offsets, const Real* q, const Real* k, const Real* v,
                        const Real* d_o, Real* d_q, Real* d_k, Real* d_v);

}  // namespace fedlora::ref
