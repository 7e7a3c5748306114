/// Causal attention, forward, bf16 on tensor cores (ops.def: attention_forward; attention_tensor_tile.cuh). Grid (H, tiles of queries). For
/// each tile of keys: s = q·kᵀ, the running softmax of Milakov & Gimelshein 2018 over the rows, o += p·v, which stays in registers.
///
/// Shared memory: queries [rows][Width] · two stages of keys and values, [tile][Width] each.
#pragma once
#include "backend/cuda/device/attention_tensor_tile.cuh"

namespace fedlora::cuda {

/// Over the four lanes that share a row.
DEV float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(whole_warp, value, 1));
  return fmaxf(value, __shfl_xor_sync(whole_warp, value, 2));
}
DEV float quad_sum(float value) {
  value += __shfl_xor_sync(whole_warp, value, 1);
  return value + __shfl_xor_sync(whole_warp, value, 2);
}

/// The largest score and the sum of weights so far, of this thread's two rows; the sum is of this lane's columns alone.
struct RunningRows {
  float most[2] = {-INFINITY, -INFINITY}, total[2] = {};

  /// Scores become weights 2^(to_log2·(s − most)); what was summed before is scaled by `fade`.
  template <int N>
  DEV void weigh(float (&s)[N / 2], float to_log2, float (&fade)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float larger = -INFINITY;
#pragma unroll
      for (int i = 0; i < N / 2; ++i)
        if (i / 2 % 2 == half) larger = fmaxf(larger, s[i]);
      larger = fmaxf(most[half], quad_max(larger));
      const float level = larger == -INFINITY ? 0.0f : larger * to_log2;  // nothing seen yet: every weight is 0
      fade[half] = exp2_approximate(fmaf(most[half], to_log2, -level));
      most[half] = larger;
      float sum = 0;
#pragma unroll
      for (int i = 0; i < N / 2; ++i)
        if (i / 2 % 2 == half) sum += s[i] = exp2_approximate(fmaf(s[i], to_log2, -level));
      total[half] = fmaf(total[half], fade[half], sum);
    }
  }
};

template <class Engine, int Width>
__global__ void __launch_bounds__(AttentionPlan<Engine, Width>::threads)
    attention_tensor_forward_kernel(AttentionShape shape, const AttentionTile* tiles, const bf16* q, const bf16* k, const bf16* v, bf16* o,
                                    float* lse) {
  if constexpr (Engine::here) {
    using Plan = AttentionPlan<Engine, Width>;
    constexpr int N = Plan::forward_tile;
    FED_SHARED(memory);
    const int D = shape.head_dim, head = blockIdx.x, kv_head = head / (shape.heads / shape.kv_heads);
    const int64_t q_pitch = static_cast<int64_t>(shape.heads) * D, kv_pitch = static_cast<int64_t>(shape.kv_heads) * D;
    const OwnedRows owned = OwnedRows::of<Plan::rows>(tiles[blockIdx.y]);
    const float to_log2 = shape.scale * log2_e;
    unsigned char* const stages = memory + Plan::owned_bytes;
    const auto keys_of = [&](int t) { return stages + t % 2 * 2 * Plan::forward_bytes; };
    const int first_key = owned.first_key(shape.window, N), count = (owned.last() - first_key) / N + 1;
    const auto fetch = [&](int t) {
      const int base = first_key + t * N, rows = owned.tile.end - base;
      fetch_tile<N, Width, Plan::threads>(keys_of(t), k + base * kv_pitch + kv_head * D, kv_pitch, rows, D);
      fetch_tile<N, Width, Plan::threads>(keys_of(t) + Plan::forward_bytes, v + base * kv_pitch + kv_head * D, kv_pitch, rows, D);
      cp_async_commit();
    };

    fetch_tile<Plan::rows, Width, Plan::threads>(memory, q + owned.tile.first * q_pitch + head * D, q_pitch, owned.count, D);
    fetch(0);
    RunningRows softmax;
    float sum[Width / 2] = {};
    for (int t = 0; t < count; ++t) {
      cp_async_wait<0>();
      Engine::publish();
      __syncthreads();  // the tile stands; everybody is through with the one before, whose stage is filled next
      float s[N / 2];
      Engine::fence();
      Engine::template begin_rows<N, Width>(s, memory, Plan::rows, keys_of(t));
      Engine::commit();
      if (t + 1 < count) fetch(t + 1);  // while the scores are made
      Engine::template wait<0>();

      const int base = first_key + t * N;
      if (base + N - 1 > owned.first_of_warp() || (shape.window != 0 && base <= owned.first_of_warp() + 15 - shape.window))
        hide_scores<N>(s, owned.row, base, shape.window);
      float fade[2];
      softmax.weigh<N>(s, to_log2, fade);
#pragma unroll
      for (int i = 0; i < Width / 2; ++i) sum[i] *= fade[i / 2 % 2];
      u32 p[N / 16][4];
      pack_left<N>(p, s);
      Engine::fence();
      Engine::template begin_columns<N, Width>(sum, p, keys_of(t) + Plan::forward_bytes);
      Engine::commit();
      Engine::template wait<0>();
    }

    const float total[2] = {quad_sum(softmax.total[0]), quad_sum(softmax.total[1])};
    store_owned<Width>(o + head * D, q_pitch, owned, D, sum, 1.0f / total[0], 1.0f / total[1]);
    if (threadIdx.x % 4 != 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = owned.row + 8 * half;
      if (row > owned.last()) continue;
      float* const out = lse + 2 * (static_cast<int64_t>(row) * shape.heads + head);
      out[0] = shape.scale * softmax.most[half];
      out[1] = logf(total[half]);
    }
  } else {
    __trap();
  }
}

}  // namespace fedlora::cuda
