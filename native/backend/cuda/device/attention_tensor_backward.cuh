/// Causal attention, backward, bf16 on tensor cores (ops.def: attention_backward; attention_tensor_tile.cuh). As in
/// attention_backward.cuh two kernels own what they write, and nothing is added by two: d_q by queries, d_k and d_v by keys, whose query
/// heads come one after another. Each computes p = 2^(s·scale·log₂e − level) and d_s = p·(d_o·v − δ) again: seven products instead of five.
///   d_q = scale·d_s·k      d_k = scale·d_sᵀ·q      d_v = pᵀ·d_o
///
/// Shared memory of d_q, grid (H, tiles of queries): queries and d_o [rows][Width] · two stages of keys and values [tile][Width].
/// Of d_k and d_v, grid (G · parts, tiles of keys): keys and values [rows][Width] · two stages of queries and d_o [tile][Width] · two
/// stages of the queries' RowTerms [tile].
#pragma once
#include "backend/cuda/device/attention_tensor_tile.cuh"

namespace fedlora::cuda {

/// What is known of a query and head: x: level, its log-sum-exp in powers of two; y: δ = d_o·o.
using RowTerms = float2;

/// Grid: a warp a row and head, 8 columns a lane.
static __global__ void __launch_bounds__(attention_threads)
    attention_row_terms_kernel(int64_t count, int D, const bf16* o, const bf16* d_o, const float* lse, RowTerms* terms) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * attention_rows + threadIdx.x / 32;
  const int column = static_cast<int>(threadIdx.x % 32) * 8;
  if (at >= count) return;
  float sum = 0;
  if (column < D) {
    const uint4 left = *reinterpret_cast<const uint4*>(o + at * D + column), right = *reinterpret_cast<const uint4*>(d_o + at * D + column);
    const u32 a[4] = {left.x, left.y, left.z, left.w}, b[4] = {right.x, right.y, right.z, right.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += low_of(a[i]) * low_of(b[i]), sum += high_of(a[i]) * high_of(b[i]);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) terms[at] = make_float2((lse[2 * at] + lse[2 * at + 1]) * log2_e, sum);
}

template <class Engine, int Width>
__global__ void __launch_bounds__(AttentionPlan<Engine, Width>::threads)
    attention_tensor_d_q_kernel(AttentionShape shape, const AttentionTile* tiles, const bf16* q, const bf16* k, const bf16* v,
                                const RowTerms* terms, const bf16* d_o, bf16* d_q) {
  if constexpr (Engine::here) {
    using Plan = AttentionPlan<Engine, Width>;
    constexpr int N = Plan::backward_tile;
    FED_SHARED(memory);
    const int D = shape.head_dim, head = blockIdx.x, kv_head = head / (shape.heads / shape.kv_heads);
    const int64_t q_pitch = static_cast<int64_t>(shape.heads) * D, kv_pitch = static_cast<int64_t>(shape.kv_heads) * D;
    const OwnedRows owned = OwnedRows::of<Plan::rows>(tiles[blockIdx.y]);
    const float to_log2 = shape.scale * log2_e;
    unsigned char* const gradients = memory + Plan::owned_bytes;
    unsigned char* const stages = gradients + Plan::owned_bytes;
    const auto keys_of = [&](int t) { return stages + t % 2 * 2 * Plan::backward_bytes; };
    const int first_key = owned.first_key(shape.window, N), count = (owned.last() - first_key) / N + 1;
    const auto fetch = [&](int t) {
      const int base = first_key + t * N, rows = owned.tile.end - base;
      fetch_tile<N, Width, Plan::threads>(keys_of(t), k + base * kv_pitch + kv_head * D, kv_pitch, rows, D);
      fetch_tile<N, Width, Plan::threads>(keys_of(t) + Plan::backward_bytes, v + base * kv_pitch + kv_head * D, kv_pitch, rows, D);
      cp_async_commit();
    };

    fetch_tile<Plan::rows, Width, Plan::threads>(memory, q + owned.tile.first * q_pitch + head * D, q_pitch, owned.count, D);
    fetch_tile<Plan::rows, Width, Plan::threads>(gradients, d_o + owned.tile.first * q_pitch + head * D, q_pitch, owned.count, D);
    fetch(0);
    RowTerms row_terms[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(owned.row + 8 * half, owned.last());
      row_terms[half] = terms[static_cast<int64_t>(row) * shape.heads + head];
    }
    float sum[Width / 2] = {};
    for (int t = 0; t < count; ++t) {
      cp_async_wait<0>();
      Engine::publish();
      __syncthreads();  // the tile stands; everybody is through with the one before, whose stage is filled next
      float s[N / 2], d_p[N / 2];
      Engine::fence();
      Engine::template begin_rows<N, Width>(s, memory, Plan::rows, keys_of(t));
      Engine::commit();
      Engine::template begin_rows<N, Width>(d_p, gradients, Plan::rows, keys_of(t) + Plan::backward_bytes);
      Engine::commit();
      if (t + 1 < count) fetch(t + 1);  // while the products are made
      Engine::template wait<1>();

      const int base = first_key + t * N;
      if (base + N - 1 > owned.first_of_warp() || (shape.window != 0 && base <= owned.first_of_warp() + 15 - shape.window))
        hide_scores<N>(s, owned.row, base, shape.window);
#pragma unroll
      for (int i = 0; i < N / 2; ++i) s[i] = exp2_approximate(fmaf(s[i], to_log2, -row_terms[i / 2 % 2].x));
      Engine::template wait<0>();
#pragma unroll
      for (int i = 0; i < N / 2; ++i) s[i] *= d_p[i] - row_terms[i / 2 % 2].y;
      u32 d_s[N / 16][4];
      pack_left<N>(d_s, s);
      Engine::fence();
      Engine::template begin_columns<N, Width>(sum, d_s, keys_of(t));
      Engine::commit();
      Engine::template wait<0>();
    }
    store_owned<Width>(d_q + head * D, q_pitch, owned, D, sum, shape.scale, shape.scale);
  } else {
    __trap();
  }
}

/// Where d_k and d_v go: to the gradients, or where the heads of a group are in several parts, to each part's sums in f32, [parts][M][G·D].
struct KeyGradients {
  bf16 *d_k, *d_v;
  float *part_k, *part_v;  // null: one part
  int parts;
  int64_t count;  // M·G·D
};

/// Which gradients a kernel makes: both where registers hold two sums, else one after another.
enum class KeySide { both, keys, values };

template <class Engine, int Width, KeySide side>
__global__ void __launch_bounds__(AttentionPlan<Engine, Width>::threads)
    attention_tensor_d_kv_kernel(AttentionShape shape, const AttentionTile* tiles, const bf16* q, const bf16* k, const bf16* v,
                                 const RowTerms* terms, const bf16* d_o, KeyGradients out) {
  if constexpr (Engine::here) {
    using Plan = AttentionPlan<Engine, Width>;
    constexpr int N = Plan::backward_tile;
    FED_SHARED(memory);
    const int D = shape.head_dim, kv_head = blockIdx.x / out.parts, part = blockIdx.x % out.parts;
    const int heads = shape.heads / shape.kv_heads / out.parts, first_head = (kv_head * out.parts + part) * heads;
    const int64_t q_pitch = static_cast<int64_t>(shape.heads) * D, kv_pitch = static_cast<int64_t>(shape.kv_heads) * D;
    const OwnedRows owned = OwnedRows::of<Plan::rows>(tiles[gridDim.y - 1 - blockIdx.y]);  // early keys have the most queries
    const float to_log2 = shape.scale * log2_e;
    unsigned char* const values = memory + Plan::owned_bytes;
    unsigned char* const stages = values + Plan::owned_bytes;
    RowTerms* const staged_terms = reinterpret_cast<RowTerms*>(stages + 4 * Plan::backward_bytes);
    const auto queries_of = [&](int t) { return stages + t % 2 * 2 * Plan::backward_bytes; };
    const int first_query = owned.aligned(owned.tile.first, N), end = owned.end_of_queries(shape.window);
    const int tiles_of_head = (end - first_query + N - 1) / N, count = heads * tiles_of_head;
    const auto base_of = [&](int t) { return first_query + t % tiles_of_head * N; };
    const auto fetch = [&](int t) {
      const int head = first_head + t / tiles_of_head, base = base_of(t), rows = owned.tile.end - base;
      fetch_tile<N, Width, Plan::threads>(queries_of(t), q + base * q_pitch + head * D, q_pitch, rows, D);
      fetch_tile<N, Width, Plan::threads>(queries_of(t) + Plan::backward_bytes, d_o + base * q_pitch + head * D, q_pitch, rows, D);
      const int row = threadIdx.x;
      if (row < N)  // terms of 0 behind the end: p = 1, d_s = 0, and the rows that they multiply are zeros
        cp_async8(staged_terms + t % 2 * N + row, terms + static_cast<int64_t>(row < rows ? base + row : base) * shape.heads + head,
                  row < rows ? 8 : 0);
      cp_async_commit();
    };

    fetch_tile<Plan::rows, Width, Plan::threads>(memory, k + owned.tile.first * kv_pitch + kv_head * D, kv_pitch, owned.count, D);
    fetch_tile<Plan::rows, Width, Plan::threads>(values, v + owned.tile.first * kv_pitch + kv_head * D, kv_pitch, owned.count, D);
    fetch(0);
    float key_sum[side == KeySide::values ? 1 : Width / 2] = {}, value_sum[side == KeySide::keys ? 1 : Width / 2] = {};
    for (int t = 0; t < count; ++t) {
      cp_async_wait<0>();
      Engine::publish();
      __syncthreads();             // the tile stands; everybody is through with the one before, whose stage is filled next
      float s[N / 2], d_p[N / 2];  // [keys, queries]
      Engine::fence();
      Engine::template begin_rows<N, Width>(s, memory, Plan::rows, queries_of(t));
      Engine::commit();
      if constexpr (side != KeySide::values) {
        Engine::template begin_rows<N, Width>(d_p, values, Plan::rows, queries_of(t) + Plan::backward_bytes);
        Engine::commit();
      }
      if (t + 1 < count) fetch(t + 1);  // while the products are made
      Engine::template wait<side == KeySide::values ? 0 : 1>();

      const RowTerms* const columns = staged_terms + t % 2 * N + threadIdx.x % 4 * 2;
      const int base = base_of(t);
      const bool whole = base >= owned.first_of_warp() + 15 && (shape.window == 0 || base + N - 1 < owned.first_of_warp() + shape.window);
#pragma unroll
      for (int i = 0; i < N / 2; ++i) {
        const int column = i / 4 * 8 + i % 2, query = base + static_cast<int>(threadIdx.x % 4 * 2) + column;
        const bool seen = whole || sees(query, owned.row + i / 2 % 2 * 8, shape.window);
        s[i] = seen ? exp2_approximate(fmaf(s[i], to_log2, -columns[column].x)) : 0.0f;
      }
      if constexpr (side != KeySide::keys) {
        u32 p[N / 16][4];
        pack_left<N>(p, s);
        Engine::fence();
        Engine::template begin_columns<N, Width>(value_sum, p, queries_of(t) + Plan::backward_bytes);
        Engine::commit();
      }
      if constexpr (side != KeySide::values) {
        Engine::template wait<side == KeySide::both ? 1 : 0>();
#pragma unroll
        for (int i = 0; i < N / 2; ++i) s[i] *= d_p[i] - columns[i / 4 * 8 + i % 2].y;
        u32 d_s[N / 16][4];
        pack_left<N>(d_s, s);
        Engine::fence();
        Engine::template begin_columns<N, Width>(key_sum, d_s, queries_of(t));
        Engine::commit();
      }
      Engine::template wait<0>();
    }
    const auto store = [&](const auto& sum, float factor, bf16* gradient, float* part_sums) {
      if (part_sums == nullptr)
        store_owned<Width>(gradient + kv_head * D, kv_pitch, owned, D, sum, factor, factor);
      else
        store_owned<Width>(part_sums + part * out.count + kv_head * D, kv_pitch, owned, D, sum, factor, factor);
    };
    if constexpr (side != KeySide::values) store(key_sum, shape.scale, out.d_k, out.part_k);
    if constexpr (side != KeySide::keys) store(value_sum, 1.0f, out.d_v, out.part_v);
  } else {
    __trap();
  }
}

/// The parts of d_k and d_v added in order. Grid: (a thread four numbers, 2).
static __global__ void __launch_bounds__(attention_threads) attention_join_parts_kernel(KeyGradients out) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * attention_threads + threadIdx.x) * 4;
  if (i >= out.count) return;
  const float* const from = (blockIdx.y == 0 ? out.part_k : out.part_v) + i;
  float4 sum = *reinterpret_cast<const float4*>(from);
  for (int part = 1; part < out.parts; ++part) {
    const float4 more = *reinterpret_cast<const float4*>(from + part * out.count);
    sum.x += more.x, sum.y += more.y, sum.z += more.z, sum.w += more.w;
  }
  bf16* const to = (blockIdx.y == 0 ? out.d_k : out.d_v) + i;
  store_pair(to, sum.x, sum.y);
  store_pair(to + 2, sum.z, sum.w);
}

}  // namespace fedlora::cuda
