/// Causal attention, forward (ops.def: attention_forward, attention_decode), by the running softmax of Milakov & Gimelshein 2018.
/// attention_forward: grid tiles × H; a warp a query. Shared memory: keys [32][D+1], values [32][D+1], queries [8][D].
/// attention_decode: grid H; a warp every eighth tile of 32 keys, then the warps' parts are joined in order.
#pragma once
#include "backend/cuda/device/attention_tile.cuh"

namespace fedlora::cuda {

/// Σ of what was seen so far: e^(s − most)·v in sums, e^(s − most) in total.
struct RunningSoftmax {
  float most = -INFINITY, total = 0;
  float sums[attention_pieces] = {};

  /// Lane j's score of key j; −∞: hidden. Gives lane j's weight. Call add_weighted with it.
  DEV float weigh(float score) {
    const float larger = fmaxf(most, warp_max(score));
    if (larger == -INFINITY) return 0;  // nothing seen yet, by any lane
    const float weight = expf(score - larger);
    scale(expf(most - larger));
    total += warp_sum(weight);
    most = larger;
    return weight;
  }
  DEV void scale(float factor) {
    total *= factor;
#pragma unroll
    for (float& sum : sums) sum *= factor;
  }
};

inline size_t attention_forward_shared(int D) { return sizeof(float) * static_cast<size_t>(2 * 32 * (D + 1) + attention_rows * D); }

template <class T>
__global__ void __launch_bounds__(attention_threads, 3)
    attention_forward_kernel(AttentionShape shape, const AttentionTile* tiles, const T* q, const T* k, const T* v, T* o, float* lse) {
  FED_SHARED(memory);
  const int D = shape.head_dim, head = blockIdx.y, kv_head = head / (shape.heads / shape.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* keys = reinterpret_cast<float*>(memory);
  float* values = keys + 32 * attention_stride(D);
  float* query = values + 32 * attention_stride(D) + warp * D;
  const AttentionTile tile = tiles[blockIdx.x];
  const int row = tile.first + warp;
  const bool live = row < tile.end;
  const int64_t q_pitch = static_cast<int64_t>(shape.heads) * D, kv_pitch = static_cast<int64_t>(shape.kv_heads) * D;
  if (live) load_row(query, q + row * q_pitch + head * D, D);

  RunningSoftmax softmax;
  const int last = min(tile.first + attention_rows, tile.end);
  const int first_seen = shape.window == 0 ? tile.begin : max(tile.begin, tile.first - shape.window + 1);
  for (int base = tile.begin + (first_seen - tile.begin) / 32 * 32; base < last; base += 32) {
    __syncthreads();  // every warp has read the tile before; at first, its own query is written
    load_tile(keys, k + base * kv_pitch + kv_head * D, tile.end - base, kv_pitch, D);
    load_tile(values, v + base * kv_pitch + kv_head * D, tile.end - base, kv_pitch, D);
    __syncthreads();  // the tile stands
    if (!live) continue;
    const bool seen = sees(row, base + lane, shape.window);
    const float score = seen ? __fmul_rn(shape.scale, dot_row(query, keys + lane * attention_stride(D), D)) : -INFINITY;
    add_weighted(softmax.sums, softmax.weigh(score), values, D);
  }
  if (!live) return;
  store_row(o + row * q_pitch + head * D, softmax.sums, 1.0f / softmax.total, D);
  if (lane == 0) {
    float* out = lse + 2 * (static_cast<int64_t>(row) * shape.heads + head);
    out[0] = softmax.most;
    out[1] = logf(softmax.total);
  }
}

inline size_t attention_decode_shared(int D) { return sizeof(float) * static_cast<size_t>(D + attention_rows * (D + 2)); }

/// q, o [H·D]; keys, values [T,G·D]. Shared memory: the query [D], each warp's most, total and sums [8][D + 2].
template <class T>
__global__ void __launch_bounds__(attention_threads, 3)
    attention_decode_kernel(AttentionShape shape, int64_t length, const T* q, const T* keys, const T* values, T* o) {
  FED_SHARED(memory);
  const int D = shape.head_dim, head = blockIdx.x, kv_head = head / (shape.heads / shape.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float* query = reinterpret_cast<float*>(memory);
  float* part = query + D + warp * (D + 2);
  const int64_t pitch = static_cast<int64_t>(shape.kv_heads) * D;
  if (warp == 0) load_row(query, q + head * D, D);
  __syncthreads();  // the query stands

  RunningSoftmax softmax;
  const int64_t first_seen = shape.window == 0 || length <= shape.window ? 0 : length - shape.window;
  for (int64_t base = first_seen / 32 * 32 + 32 * warp; base < length; base += 32 * attention_rows) {
    const int64_t key = base + lane;
    float score = -INFINITY;
    if (key >= first_seen && key < length) {
      score = 0;
      for (int d = 0; d < D; ++d) score += query[d] * load(keys + key * pitch + kv_head * D + d);
      score = __fmul_rn(shape.scale, score);
    }
    const float weight = softmax.weigh(score);
    const int64_t rows = length - base < 32 ? length - base : 32;
    for (int j = 0; j < 32; ++j) {
      const float w = __shfl_sync(whole_warp, weight, j);
      if (j >= rows) continue;
#pragma unroll
      for (int i = 0; i < attention_pieces; ++i)
        if (lane + 32 * i < D) softmax.sums[i] += w * load(values + (base + j) * pitch + kv_head * D + lane + 32 * i);
    }
  }
  if (lane == 0) part[0] = softmax.most, part[1] = softmax.total;
#pragma unroll
  for (int i = 0; i < attention_pieces; ++i)
    if (lane + 32 * i < D) part[2 + lane + 32 * i] = softmax.sums[i];
  __syncthreads();  // every warp's part stands before the first joins them

  if (warp != 0) return;
  const float* parts = query + D;
  float most = -INFINITY, total = 0;
  for (int w = 0; w < attention_rows; ++w) most = fmaxf(most, parts[w * (D + 2)]);
  float sums[attention_pieces] = {};
  for (int w = 0; w < attention_rows; ++w) {
    const float factor = expf(parts[w * (D + 2)] - most);  // 0 for a warp that saw nothing
    total += factor * parts[w * (D + 2) + 1];
#pragma unroll
    for (int i = 0; i < attention_pieces; ++i)
      if (lane + 32 * i < D) sums[i] += factor * parts[w * (D + 2) + 2 + lane + 32 * i];
  }
  store_row(o + head * D, sums, 1.0f / total, D);
}

}  // namespace fedlora::cuda
