/// Sums of products in bf16 by wgmma and the TMA, sm_90a. A block makes tiles of C, 128 × Columns, one after another; the grid is as large
/// as the device, the order of tiles is TileOrder's. 384 threads: warpgroup 0 loads, warpgroups 1 and 2 multiply, 64 rows of the tile each.
///
/// Shared memory: `stages` stages of one step, 64 of the depth, in swizzled rows of 128 bytes,
///   left   [128 rows of M][64 of the depth]
///   right  Right::rows: [Columns of N][64 of the depth] · Right::columns: Columns / 64 boxes of [64 of the depth][64 of N]
/// and behind them two mbarriers a stage:
///   full   one arrival (the loader's) and the stage's bytes: the step may be read
///   empty  eight arrivals, one a multiplying warp: its wgmma are through with the stage, which may be loaded over
/// Stages go round across products and tiles without a break, so that the next tile is loaded while this one is written out.
#pragma once
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/device/product.h"
#include "backend/cuda/heuristics/gemm.h"
#include "backend/cuda/ptx/barrier.h"
#include "backend/cuda/ptx/registers.h"
#include "backend/cuda/ptx/tma.h"
#include "backend/cuda/ptx/wgmma.h"

namespace fedlora::cuda {

template <int Columns>
struct GemmSm90 {
  static constexpr int rows = 128, columns = Columns, step = 64, threads = 384, box_bytes = 64 * 128;
  static constexpr int stages = Columns == 256 ? 4 : 6;
  static constexpr int left_bytes = rows * 128, stage_bytes = left_bytes + columns * 128;
  static constexpr int shared_bytes = stages * stage_bytes + 2 * stages * 8;
  static constexpr int loading_registers = 40, multiplying_registers = 232;
};

/// The products of a call as the TMA reads them; beyond an operand's edge it gives zeros.
struct MappedProducts {
  TensorMap left[most_products], right[most_products];  // boxes: [128][64] of left, [Columns][64] or [64][64] of right
  int depth[most_products];
  int count;
};

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// Where the ring of stages stands.
template <class Tile>
struct Ring {
  unsigned char* shared;
  int stage = 0;
  u32 parity = 0;
  DEV unsigned char* left() const { return shared + stage * Tile::stage_bytes; }
  DEV unsigned char* right() const { return left() + Tile::left_bytes; }
  DEV u64* full() const { return reinterpret_cast<u64*>(shared + Tile::stages * Tile::stage_bytes) + stage; }
  DEV u64* empty() const { return full() + Tile::stages; }
  DEV void advance() {
    if (++stage < Tile::stages) return;
    stage = 0;
    parity ^= 1;
  }
};

/// By one thread: every step of every tile of this block, each as soon as its stage is empty.
template <class Tile, Right lies>
DEV void load_tiles(Ring<Tile> ring, const TileOrder& order, const MappedProducts& products) {
  for (int64_t index = blockIdx.x; index < order.count(); index += gridDim.x) {
    const auto [row, column] = order.at(index);
    const int m0 = static_cast<int>(row) * Tile::rows, n0 = static_cast<int>(column) * Tile::columns;
    for (int p = 0; p < products.count; ++p)
      for (int k = 0; k < products.depth[p]; k += Tile::step) {
        barrier_wait(ring.empty(), ring.parity ^ 1);
        barrier_arrive_expect(ring.full(), Tile::stage_bytes);
        tma_load_2d(ring.left(), &products.left[p], ring.full(), k, m0);
        if constexpr (lies == Right::rows) {
          tma_load_2d(ring.right(), &products.right[p], ring.full(), k, n0);
        } else {
#pragma unroll
          for (int box = 0; box < Tile::columns / 64; ++box)
            tma_load_2d(ring.right() + box * Tile::box_bytes, &products.right[p], ring.full(), n0 + box * 64, k);
        }
        ring.advance();
      }
  }
}

/// Two neighbours of a row of C; `together`: an even column of an even stride, one store.
template <class Out>
DEV void store_pair(Out* out, float first, float second, bool together, bool has_second) {
  if (together && has_second) {
    if constexpr (sizeof(Out) == 2)
      *reinterpret_cast<u32*>(out) = pack_bf16(first, second);
    else
      *reinterpret_cast<float2*>(out) = make_float2(first, second);
    return;
  }
  store(out, first);
  if (has_second) store(out + 1, second);
}

/// Word i of lane c of each quad goes to lane i, place c.
DEV void transpose_quads(u32 (&word)[4]) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
  const u32 first = __shfl_xor_sync(whole_warp, odd ? word[0] : word[1], 1),
            second = __shfl_xor_sync(whole_warp, odd ? word[2] : word[3], 1);
  (odd ? word[0] : word[1]) = first;
  (odd ? word[2] : word[3]) = second;
  const u32 third = __shfl_xor_sync(whole_warp, upper ? word[0] : word[2], 2),
            fourth = __shfl_xor_sync(whole_warp, upper ? word[1] : word[3], 2);
  (upper ? word[0] : word[2]) = third;
  (upper ? word[1] : word[3]) = fourth;
}

/// The 64 rows of a warpgroup to C in bf16, in pieces of 16 bytes: where C's base and stride are aligned to them and N is a multiple of 8.
/// A quad holds two columns a lane of each group of eight; after the transposition a lane holds a whole group of four, and the quad writes
/// 64 bytes of a row.
template <int Columns>
DEV void write_pieces(const float (&sum)[Columns / 2], int64_t M, int64_t N, int64_t m0, int64_t n0, const Finish& finish) {
  const u32 t = threadIdx.x % 128, lane = t % 32;
#pragma unroll
  for (int j = 0; j < Columns / 8; j += 4) {
    u32 word[2][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t n = n0 + (j + i) * 8 + lane % 4 * 2;
      float2 bias = make_float2(0.0f, 0.0f);
      if (finish.bias != nullptr && n < N) bias = make_float2(finish.bias[n], finish.bias[n + 1]);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* const pair = &sum[4 * (j + i) + 2 * half];
        word[half][i] = pack_bf16(finish.scale * pair[0] + bias.x, finish.scale * pair[1] + bias.y);
      }
    }
    const int64_t n = n0 + (j + lane % 4) * 8;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      transpose_quads(word[half]);
      const int64_t m = m0 + t / 32 * 16 + lane / 4 + half * 8;
      if (m < M && n < N)
        *reinterpret_cast<uint4*>(static_cast<bf16*>(finish.out) + m * finish.stride + n) =
            make_uint4(word[half][0], word[half][1], word[half][2], word[half][3]);
    }
  }
}

/// The 64 rows of a warpgroup to C: a quad of lanes writes 8 columns of a row.
template <class Out, int Columns>
DEV void write_out(const float (&sum)[Columns / 2], int64_t M, int64_t N, int64_t m0, int64_t n0, const Finish& finish) {
  if constexpr (sizeof(Out) == 2)
    if (N % 8 == 0 && finish.stride % 8 == 0 && reinterpret_cast<uintptr_t>(finish.out) % 16 == 0)
      return write_pieces<Columns>(sum, M, N, m0, n0, finish);
  const u32 t = threadIdx.x % 128, lane = t % 32;
  Out* const out = static_cast<Out*>(finish.out);
  const bool together = finish.stride % 2 == 0 && reinterpret_cast<uintptr_t>(out) % (2 * sizeof(Out)) == 0;
#pragma unroll
  for (int j = 0; j < Columns / 8; ++j) {
    const int64_t n = n0 + j * 8 + lane % 4 * 2;
    if (n >= N) continue;
    const bool has_second = n + 1 < N;
    const float bias = finish.bias != nullptr ? finish.bias[n] : 0.0f,
                bias_second = finish.bias != nullptr && has_second ? finish.bias[n + 1] : 0.0f;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t m = m0 + t / 32 * 16 + lane / 4 + half * 8;
      if (m >= M) continue;
      store_pair(out + m * finish.stride + n, finish.scale * sum[4 * j + 2 * half] + bias,
                 finish.scale * sum[4 * j + 2 * half + 1] + bias_second, together, has_second);
    }
  }
}

/// By a warpgroup: 64 rows of every tile of this block. One batch of wgmma runs on while the next step is waited for; a stage is given back
/// once the batch that reads it has ended, by each warp for itself, for each reads its own 16 rows of left.
template <class Tile, class Out, Right lies>
DEV void multiply_tiles(Ring<Tile> ring, const TileOrder& order, const MappedProducts& products, int64_t M, int64_t N,
                        const Finish& finish) {
  constexpr int by_columns = lies == Right::columns ? 1 : 0;
  constexpr u32 next_right = by_columns ? 16 * 128 : 16 * 2;  // bytes to the next 16 of the depth
  const u32 upper = threadIdx.x / 128 - 1;
  const bool elected = threadIdx.x % 32 == 0;
  int steps = 0;
  for (int p = 0; p < products.count; ++p) steps += (products.depth[p] + Tile::step - 1) / Tile::step;
  float sum[Tile::columns / 2];
  for (int64_t index = blockIdx.x; index < order.count(); index += gridDim.x) {
    const auto [row, column] = order.at(index);
    u64* read = nullptr;  // the empty barrier of the stage that the batch under way reads
    for (int s = 0; s < steps; ++s) {
      barrier_wait(ring.full(), ring.parity);
      const u64 left = descriptor(ring.left() + upper * Tile::box_bytes, 16, 1024);
      const u64 right = descriptor(ring.right(), Tile::box_bytes, 1024);
      wgmma_fence();
#pragma unroll
      for (u32 k = 0; k < 4; ++k)
        wgmma_ss<Tile::columns, 0, by_columns>(sum, advance(left, k * 32), advance(right, k * next_right), s > 0 || k > 0);
      wgmma_commit();
      wgmma_wait<1>();
      if (read != nullptr && elected) barrier_arrive(read);
      read = ring.empty();
      ring.advance();
    }
    wgmma_wait<0>();
    if (elected) barrier_arrive(read);
    write_out<Out, Tile::columns>(sum, M, N, row * Tile::rows + upper * 64, column * Tile::columns, finish);
  }
}
#endif

template <class Out, int Columns, Right lies>
__global__ void __launch_bounds__(GemmSm90<Columns>::threads, 1)
    gemm_sm90_kernel(int64_t M, int64_t N, const __grid_constant__ MappedProducts products, Finish finish) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Tile = GemmSm90<Columns>;
  FED_SHARED(shared);
  Ring<Tile> ring{shared};
  if (threadIdx.x == 0) {
    for (int s = 0; s < Tile::stages; ++s) {
      barrier_init(ring.full() + s, 1);
      barrier_init(ring.empty() + s, 8);
    }
    fence_barrier_init();
  }
  __syncthreads();  // the barriers are there
  const TileOrder order{(M + Tile::rows - 1) / Tile::rows, (N + Tile::columns - 1) / Tile::columns};
  if (threadIdx.x < 128) {
    registers_give<Tile::loading_registers>();
    if (threadIdx.x == 0) load_tiles<Tile, lies>(ring, order, products);
  } else {
    registers_take<Tile::multiplying_registers>();
    multiply_tiles<Tile, Out, lies>(ring, order, products, M, N, finish);
  }
#else
  __trap();
#endif
}

}  // namespace fedlora::cuda
