// The instructions of sm_90a as ptx/ has them, each against plain loops: mbarrier, TMA, wgmma with its descriptors, setmaxnreg.
#include "cuda_check.h"

#include "backend/cuda/device/prelude.h"
#include "backend/cuda/launch/tensor_map.h"
#include "backend/cuda/ptx/barrier.h"
#include "backend/cuda/ptx/fence.h"
#include "backend/cuda/ptx/matrix.h"
#include "backend/cuda/ptx/registers.h"
#include "backend/cuda/ptx/tma.h"
#include "backend/cuda/ptx/wgmma.h"

// Kernels have a body where the instructions exist; elsewhere a launch must not pass in silence.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER 1
#else
#define HOPPER 0
#endif

namespace {

using namespace fedlora::cuda;

/// Boxes of 64 columns × `rows` of a matrix, one after another through a ring of two tiles: warp 0 loads, warp 1 writes them out.
__global__ void ring(const __grid_constant__ TensorMap map, int boxes, int rows, u16* out) {
#if HOPPER
  FED_SHARED(shared);
  const int t = static_cast<int>(threadIdx.x), tile_bytes = rows * 128;
  u64* full = reinterpret_cast<u64*>(shared + 2 * tile_bytes);
  u64* empty = full + 2;
  if (t == 0) {
    for (int s = 0; s < 2; ++s) barrier_init(full + s, 1), barrier_init(empty + s, 32);
    fence_barrier_init();
    tma_prefetch(&map);
  }
  __syncthreads();
  for (int k = 0; k < boxes; ++k) {
    const int s = k % 2;
    const u32 parity = static_cast<u32>(k / 2 & 1);
    unsigned char* tile = shared + s * tile_bytes;
    if (t == 0) {  // the others of its warp may not wait here: one that lags by two phases would take the parity for its own
      barrier_wait(empty + s, parity ^ 1);
      barrier_arrive_expect(full + s, static_cast<u32>(tile_bytes));
      tma_load_2d(tile, &map, full + s, k * 64 - 32, -1);
    } else if (t >= 32) {
      barrier_wait(full + s, parity);
      for (int i = t - 32; i < rows * 64; i += 32) {
        const int row = i / 64, column = i % 64;
        const u32 at = swizzled(static_cast<u32>(row), static_cast<u32>(column / 8)) + static_cast<u32>(column % 8 * 2);
        out[(static_cast<int64_t>(k) * rows + row) * 64 + column] = *reinterpret_cast<const u16*>(tile + at);
      }
      barrier_arrive(empty + s);
    }
  }
#else
  __trap();
#endif
}

/// One box of a stack of matrices.
__global__ void plane(const __grid_constant__ TensorMap map, int rows, int x, int y, int z, u16* out) {
#if HOPPER
  FED_SHARED(shared);
  const int t = static_cast<int>(threadIdx.x);
  u64* full = reinterpret_cast<u64*>(shared + rows * 128);
  if (t == 0) {
    barrier_init(full, 1);
    fence_barrier_init();
    barrier_arrive_expect(full, static_cast<u32>(rows * 128));
    tma_load_3d(shared, &map, full, x, y, z);
  }
  __syncthreads();
  barrier_wait(full, 0);
  for (int i = t; i < rows * 64; i += 32) {
    const u32 at = swizzled(static_cast<u32>(i / 64), static_cast<u32>(i % 64 / 8)) + static_cast<u32>(i % 8 * 2);
    out[i] = *reinterpret_cast<const u16*>(shared + at);
  }
#else
  __trap();
#endif
}

#if HOPPER
/// An operand [rows, 64] row-major into swizzled tiles: K fastest: one tile of `rows` rows; K slowest (transposed): boxes of 64 rows of the
/// operand, each 64 rows of K by 64 columns.
DEV void lay_out(unsigned char* tile, const u16* from, int rows, bool transposed) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * 64; i += 128) {
    const int row = i / 64, k = i % 64;
    const u32 line = static_cast<u32>(transposed ? k : row), column = static_cast<u32>(transposed ? row % 64 : k);
    const u32 box = transposed ? static_cast<u32>(row / 64) * 8192 : 0;
    *reinterpret_cast<u16*>(tile + box + swizzled(line, column / 8) + column % 8 * 2) = from[i];
  }
}
#endif

/// D[64,N] = A[64,64]·B[N,64]ᵀ by four wgmma of K 16; Registers: A from registers.
template <int N, int TransA, int TransB, bool Registers>
__global__ void __launch_bounds__(128) product(const u16* a, const u16* b, float* d) {
#if HOPPER
  FED_SHARED(shared);
  const int t = static_cast<int>(threadIdx.x), lane = t % 32, warp = t / 32;
  unsigned char* tile_b = shared + 8192;
  lay_out(shared, a, 64, TransA);
  lay_out(tile_b, b, N, TransB);
  fence_proxy_async();
  __syncthreads();
  u32 x[4][4];
  for (int k = 0; k < 4; ++k)
    ldmatrix4(x[k], shared + swizzled(static_cast<u32>(warp * 16 + lane % 16), static_cast<u32>(k * 2 + lane / 16)));
  float sum[N / 2];
  const u64 left = descriptor(shared, 8192, 1024), right = descriptor(tile_b, 8192, 1024);
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const u64 y = advance(right, static_cast<u32>(k * (TransB ? 2048 : 32)));
    if constexpr (Registers)
      wgmma_rs<N, TransB>(sum, x[k], y, k > 0);
    else
      wgmma_ss<N, TransA, TransB>(sum, advance(left, static_cast<u32>(k * (TransA ? 2048 : 32))), y, k > 0);
  }
  wgmma_commit();
  wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < N / 2; ++i) d[(warp * 16 + lane / 4 + 8 * (i / 2 % 2)) * N + 8 * (i / 4) + 2 * (lane % 4) + i % 2] = sum[i];
#else
  __trap();
#endif
}

/// One warpgroup gives registers, two take them.
__global__ void __launch_bounds__(384, 1) divide_registers(int* out) {
#if HOPPER
  const int t = static_cast<int>(threadIdx.x);
  if (t < 128) {
    registers_give<40>();
    out[t] = t;
  } else {
    registers_take<232>();
    out[t] = -t;
  }
#else
  __trap();
#endif
}

std::vector<uint16_t> matrix(int64_t count) {
  book::Random random(static_cast<uint64_t>(count));
  std::vector<uint16_t> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(fedlora::to_bf16(static_cast<float>(random.below(17)) - 8).bits);
  return all;
}
double number(uint16_t bits) { return fedlora::to_f32(fedlora::bf16{bits}); }

template <int N, int TransA, int TransB, bool Registers = false>
void check_product() {
  check::each_device({90}, [](const Queue& queue, check::Outputs& outputs) {
    const auto a = matrix(64 * 64), b = matrix(N * 64);
    const check::DeviceArray<uint16_t> device_a(a), device_b(b);
    check::DeviceArray<float> d(64 * N);
    constexpr int shared = 8192 + (TransB ? (N + 63) / 64 * 8192 : N * 128);
    FED_LAUNCH((product<N, TransA, TransB, Registers>), 1, 128, shared, queue.stream, device_a.data(), device_b.data(), d.data());
    outputs.keep("d", d);
    const auto got = d.values();
    int wrong = 0;
    for (size_t m = 0; m < 64; ++m)
      for (size_t n = 0; n < N; ++n) {
        double sum = 0;
        for (size_t k = 0; k < 64; ++k) sum += number(a[m * 64 + k]) * number(b[n * 64 + k]);
        wrong += got[m * N + n] != sum;
      }
    CHECK(wrong == 0);
  });
}

}  // namespace

CASE("mbarriers and the TMA: a ring of two tiles, zeros outside the matrix") {
  for (const auto& [rows, columns] : {std::pair<int, int>{5, 200}, {16, 64}, {3, 8}})
    check::each_device({90}, [&](const Queue& queue, check::Outputs& outputs) {
      const int pitch = (columns + 7) / 8 * 8 + 8, box_rows = 8, boxes = (columns + 32 + 63) / 64 + 1;
      const auto values = matrix(rows * pitch);
      const check::DeviceArray<uint16_t> in(values);
      check::DeviceArray<uint16_t> out(static_cast<size_t>(boxes * box_rows * 64));
      FED_LAUNCH(ring, 1, 64, 2 * box_rows * 128 + 32, queue.stream, matrix_map(in.data(), rows, columns, pitch, box_rows), boxes, box_rows,
                 out.data());
      outputs.keep("out", out);
      const auto got = out.values();
      for (int i = 0; i < boxes * box_rows * 64; ++i) {
        const int row = i / 64 % box_rows - 1, column = i / (64 * box_rows) * 64 + i % 64 - 32;
        const bool inside = row >= 0 && row < rows && column >= 0 && column < columns;
        CHECK(got[static_cast<size_t>(i)] == (inside ? values[static_cast<size_t>(row * pitch + column)] : 0));
      }
    });
}

CASE("the TMA over a stack of matrices") {
  check::each_device({90}, [](const Queue& queue, check::Outputs& outputs) {
    const int planes = 3, rows = 10, columns = 72, pitch = 80, step = 1000;
    const auto values = matrix(planes * step);
    const check::DeviceArray<uint16_t> in(values);
    check::DeviceArray<uint16_t> out(16 * 64);
    FED_LAUNCH(plane, 1, 32, 16 * 128 + 8, queue.stream, stack_map(in.data(), planes, rows, columns, pitch, step, 16), 16, 16, 2, 1,
               out.data());
    outputs.keep("out", out);
    const auto got = out.values();
    for (int i = 0; i < 16 * 64; ++i) {
      const int row = i / 64 + 2, column = i % 64 + 16;
      const bool inside = row < rows && column < columns;
      CHECK(got[static_cast<size_t>(i)] == (inside ? values[static_cast<size_t>(step + row * pitch + column)] : 0));
    }
  });
}

CASE("wgmma: every width, both operands from shared memory") {
  check_product<16, 0, 0>();
  check_product<32, 0, 0>();
  check_product<64, 0, 0>();
  check_product<96, 0, 0>();
  check_product<128, 0, 0>();
  check_product<192, 0, 0>();
  check_product<256, 0, 0>();
}

CASE("wgmma: operands whose M or N runs fastest") {
  check_product<64, 0, 1>();
  check_product<128, 1, 0>();
  check_product<256, 0, 1>();
  check_product<192, 1, 1>();
}

CASE("wgmma: A from registers") {
  check_product<64, 0, 0, true>();
  check_product<128, 0, 1, true>();
  check_product<256, 0, 0, true>();
}

CASE("setmaxnreg: warpgroups divide the registers") {
  check::each_device({90}, [](const Queue& queue, check::Outputs& outputs) {
    check::DeviceArray<int> out(384);
    FED_LAUNCH(divide_registers, 1, 384, 0, queue.stream, out.data());
    outputs.keep("out", out);
    CHECK(out.values()[127] == 127 && out.values()[383] == -383);
  });
}

CUDA_TEST_MAIN()
