/// Causal attention, backward (ops.def: attention_backward). With p = e^(s − lse), δ = d_o·o and d_s = p·(d_o·v − δ):
///   d_q_i = scale·Σ_j d_s_ij k_j      d_k_j = scale·Σ_i d_s_ij q_i      d_v_j = Σ_i p_ij d_o_i
/// Two kernels that each own what they write, so that nothing is added by two: by queries (d_q: grid tiles × H, a warp a query) and by keys
/// (d_k, d_v: grid tiles × G, a warp a key, its query heads one after another). Each computes p and d_s again. Shared memory: two tiles
/// [32][D+1], and two rows [8][D] a warp of its own.
#pragma once
#include "backend/cuda/device/attention_tile.cuh"

namespace fedlora::cuda {

inline size_t attention_backward_shared(int D) { return sizeof(float) * static_cast<size_t>(2 * 32 * (D + 1) + 2 * attention_rows * D); }

/// delta[row,head] = d_o·o. Grid: a warp a row and head.
template <class T>
__global__ void __launch_bounds__(attention_threads, 3)
    attention_delta_kernel(int64_t count, int D, const T* o, const T* d_o, float* delta) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * attention_rows + threadIdx.x / 32;
  if (at >= count) return;
  float sum = 0;
  for (int d = threadIdx.x % 32; d < D; d += 32) sum += load(o + at * D + d) * load(d_o + at * D + d);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) delta[at] = sum;
}

struct PairWeights {
  float p, d_s;  // d_s with the scale
};

/// Of one pair: its score q·k without the scale, d_o·v, and what is known of the query.
DEV PairWeights pair_weights(bool seen, float score, float d_p, float scale, const float* lse, float delta) {
  // The product rounds before lse is taken off, as it did in forward: joined to one operation, p would be another where scores are large.
  const float p = seen ? expf((__fmul_rn(scale, score) - lse[0]) - lse[1]) : 0.0f;
  return {p, p * (d_p - delta) * scale};
}

template <class T>
__global__ void __launch_bounds__(attention_threads, 3)
    attention_d_q_kernel(AttentionShape shape, const AttentionTile* tiles, const T* q, const T* k, const T* v, const float* lse,
                         const float* delta, const T* d_o, T* d_q) {
  FED_SHARED(memory);
  const int D = shape.head_dim, head = blockIdx.y, kv_head = head / (shape.heads / shape.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* keys = reinterpret_cast<float*>(memory);
  float* values = keys + 32 * attention_stride(D);
  float* query = values + 32 * attention_stride(D) + 2 * warp * D;
  float* gradient = query + D;
  const AttentionTile tile = tiles[blockIdx.x];
  const int row = tile.first + warp;
  const bool live = row < tile.end;
  const int64_t q_pitch = static_cast<int64_t>(shape.heads) * D, kv_pitch = static_cast<int64_t>(shape.kv_heads) * D;
  const int64_t at = static_cast<int64_t>(row) * shape.heads + head;
  if (live) {
    load_row(query, q + row * q_pitch + head * D, D);
    load_row(gradient, d_o + row * q_pitch + head * D, D);
  }

  float sums[attention_pieces] = {};
  const int last = min(tile.first + attention_rows, tile.end);
  const int first_seen = shape.window == 0 ? tile.begin : max(tile.begin, tile.first - shape.window + 1);
  for (int base = tile.begin + (first_seen - tile.begin) / 32 * 32; base < last; base += 32) {
    __syncthreads();  // every warp has read the tile before; at first, its own rows are written
    load_tile(keys, k + base * kv_pitch + kv_head * D, tile.end - base, kv_pitch, D);
    load_tile(values, v + base * kv_pitch + kv_head * D, tile.end - base, kv_pitch, D);
    __syncthreads();  // the tile stands
    if (!live) continue;
    const float* key = keys + lane * attention_stride(D);
    const float* value = values + lane * attention_stride(D);
    const bool seen = sees(row, base + lane, shape.window);
    const PairWeights pair = pair_weights(seen, dot_row(query, key, D), dot_row(gradient, value, D), shape.scale, lse + 2 * at, delta[at]);
    add_weighted(sums, pair.d_s, keys, D);
  }
  if (live) store_row(d_q + row * q_pitch + head * D, sums, 1.0f, D);
}

template <class T>
__global__ void __launch_bounds__(attention_threads, 3)
    attention_d_kv_kernel(AttentionShape shape, const AttentionTile* tiles, const T* q, const T* k, const T* v, const float* lse,
                          const float* delta, const T* d_o, T* d_k, T* d_v) {
  FED_SHARED(memory);
  const int D = shape.head_dim, kv_head = blockIdx.y, group = shape.heads / shape.kv_heads;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* queries = reinterpret_cast<float*>(memory);
  float* gradients = queries + 32 * attention_stride(D);
  float* key = gradients + 32 * attention_stride(D) + 2 * warp * D;
  float* value = key + D;
  const AttentionTile tile = tiles[blockIdx.x];
  const int row = tile.first + warp;
  const bool live = row < tile.end;
  const int64_t q_pitch = static_cast<int64_t>(shape.heads) * D, kv_pitch = static_cast<int64_t>(shape.kv_heads) * D;
  if (live) {
    load_row(key, k + row * kv_pitch + kv_head * D, D);
    load_row(value, v + row * kv_pitch + kv_head * D, D);
  }

  float key_sums[attention_pieces] = {}, value_sums[attention_pieces] = {};
  const int last_key = min(tile.first + attention_rows, tile.end) - 1;
  const int to =
      shape.window == 0 ? tile.end : static_cast<int>(min(static_cast<int64_t>(tile.end), static_cast<int64_t>(last_key) + shape.window));
  for (int head = kv_head * group; head < (kv_head + 1) * group; ++head)
    for (int base = tile.begin + (tile.first - tile.begin) / 32 * 32; base < to; base += 32) {
      __syncthreads();  // every warp has read the tile before; at first, its own rows are written
      load_tile(queries, q + base * q_pitch + head * D, tile.end - base, q_pitch, D);
      load_tile(gradients, d_o + base * q_pitch + head * D, tile.end - base, q_pitch, D);
      __syncthreads();  // the tile stands
      if (!live) continue;
      const int query = base + lane;
      const bool seen = query < tile.end && sees(query, row, shape.window);
      const int64_t at = (seen ? static_cast<int64_t>(query) : row) * shape.heads + head;
      const float score = dot_row(key, queries + lane * attention_stride(D), D);
      const float d_p = dot_row(value, gradients + lane * attention_stride(D), D);
      const PairWeights pair = pair_weights(seen, score, d_p, shape.scale, lse + 2 * at, delta[at]);
      add_weighted(key_sums, pair.d_s, queries, D);
      add_weighted(value_sums, pair.p, gradients, D);
    }
  if (!live) return;
  store_row(d_k + row * kv_pitch + kv_head * D, key_sums, 1.0f, D);
  store_row(d_v + row * kv_pitch + kv_head * D, value_sums, 1.0f, D);
}

}  // namespace fedlora::cuda
