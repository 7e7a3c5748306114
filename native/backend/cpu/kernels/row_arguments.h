/// Argument structs of the kernels in kernels_rows.def that need more than a few numbers.
#pragma once
#include <cstdint>

namespace fedlora {

/// The numbers of one AdamW step, computed once in double and rounded.
struct AdamWNumbers {
  float grad_scale, keep;  // keep = 1 − lr·weight_decay
  float one_minus_beta1, beta2, one_minus_beta2;
  float root_correction2;    // √(1 − β₂ᵗ)
  float epsilon, step_size;  // lr / (1 − β₁ᵗ)
};

/// Keys or queries are handled in blocks of this many rows, counted from the sequence's first row.
inline constexpr int64_t attention_block = 64;

/// `slope` is that of the head in ALiBi, 0 without; beside a soft cap there is none.

/// One block of queries of one head, against the keys and values of its sequence in packed blocks.
template <class T>
struct AttentionForwardTask {
  const T* q;  // the block's first row of the head; rows q_stride elements apart
  int64_t q_stride;
  const void* keys;  // of the whole sequence, from attention_pack
  const void* values;
  int64_t length;       // rows of the sequence
  int64_t begin, rows;  // the block's rows within the sequence
  int64_t head_dim, window;
  float scale, soft_cap, slope;
  T* o;  // as q
  int64_t o_stride;
  float* lse;  // the block's first row of the head: two floats a row, m and log l
  int64_t lse_stride;
  void* scratch;  // attention_forward_scratch(head_dim) bytes, aligned to 64
};

/// Keys [key_begin, key_end) of one head of one sequence: all, those before `key_middle`, or those from there on. The middle is whole
/// blocks or the end. Pointers are at the head's first element of the sequence's first row.
template <class T>
struct AttentionBackwardTask {
  const T *q, *o, *d_o;  // rows q_stride elements apart
  T* d_q;                // all keys: the gradient; null otherwise
  int64_t q_stride;
  float* d_q_share;  // some of the keys: their share of it, f32 [length, head_dim], rows from key_begin on
  int64_t key_begin, key_middle, key_end;
  const T *k, *v;  // rows kv_stride elements apart
  int64_t kv_stride;
  float *d_k, *d_v;  // this query head's share, f32, rows d_kv_stride apart
  int64_t d_kv_stride;
  const float* lse;  // as AttentionForwardTask
  int64_t lse_stride;
  // f32: for each half of the keys, [length] of the queries that reach it: Σ_j d_s, and the key whose p is above one half, or −1
  float *residual[2], *majority[2];
  int64_t length, head_dim, window;
  float scale, soft_cap, slope;
  bool sum_delta;  // bf16: δ is Σ_j p·d_p, not d_o·o
  void* scratch;   // attention_backward_scratch(length, head_dim) bytes, aligned to 64
};

/// One query row of one head against a cache.
template <class T>
struct AttentionDecodeTask {
  const T* q;
  const T *keys, *values;  // of the cache's first visible row; rows kv_stride elements apart
  int64_t kv_stride, length, head_dim;
  float scale, soft_cap, slope;
  T* o;
  float* scratch;  // length + head_dim floats
};

}  // namespace fedlora
