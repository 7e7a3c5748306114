/// The book: a Llama-like decoder in double, forward and backward, with a LoRA adapter on every linear layer of its blocks.
///
///   x = multiplier·embedding[ids]   [x = norm(x)]
///   a block:  n = norm(x)   q, k, v = linear(n)   [q, k = norm of each head]   q, k = rope(q, k)   x += m·linear_o(attention(q, k, v))
///             n = norm(x)   x += m·linear_down(act(linear_gate(n)) ∘ linear_up(n))
///   logits = norm(x)·headᵀ / divider     loss = mean cross-entropy over the supervised rows
///
/// m is the residual multiplier. Pre-norm, grouped heads, optional biases, optional q/k norm, rotation and window of each block, slopes and
/// soft caps, tied or own head. One row is one token; sequences are packed, `offsets` separates them. Nothing is recomputed or fused: every
/// tensor of the formulas exists.
#pragma once
#include <cstdint>
#include <vector>

#include "backend/ops.h"

namespace fedlora::ref {

struct Linear {
  int64_t N = 0, K = 0;
  std::vector<double> W;     // [N,K]
  std::vector<double> bias;  // [N] or empty
  int rank = 0;              // 0: no adapter
  double scaling = 0;
  std::vector<double> A, B;      // [R,K], [N,R]
  std::vector<double> d_A, d_B;  // accumulate; sized by backward
};

struct Rope {
  std::vector<double> cosine, sine;  // [positions,D/2]
};

struct Block {
  int rope = 0;                                         // index into Transformer::ropes; -1: no rotation
  int window = 0;                                       // keys a query sees, itself included; 0: all
  std::vector<double> input_norm, post_attention_norm;  // [hidden]
  std::vector<double> q_norm, k_norm;                   // [D] or empty
  Linear q, k, v, o, gate, up, down;
};

struct Transformer {
  int64_t hidden = 0, vocabulary = 0;
  AttentionShape attention;  // its window is each block's
  Activate activate = Activate::silu;
  double norm_epsilon = 1e-5, embedding_multiplier = 1, residual_multiplier = 1, logits_divider = 1, logit_soft_cap = 0;
  std::vector<double> embedding;       // [V,hidden]
  std::vector<double> head;            // [V,hidden], or empty: tied to the embedding
  std::vector<double> embedding_norm;  // [hidden] or empty
  std::vector<double> final_norm;      // [hidden]
  std::vector<Rope> ropes;
  std::vector<Block> blocks;
};

struct TokenBatch {
  std::vector<int32_t> ids, positions;  // [M]
  std::vector<int64_t> offsets;         // sequences; offsets.back() == M
  std::vector<int32_t> targets;         // [M], the token to predict; < 0: not supervised
};

struct TransformerResult {
  std::vector<std::vector<double>> hidden;  // [blocks + 1][M,hidden]: the input of every block, then the output of the final norm
  std::vector<double> logits;               // [M,V]
  double loss = 0;                          // mean over supervised rows
};

/// With `backward`, d_A and d_B of every adapter receive += d(loss)/d(A), d(loss)/d(B).
TransformerResult run_transformer(Transformer& model, const TokenBatch& batch, bool backward);

}  // namespace fedlora::ref
