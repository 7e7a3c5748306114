// The instructions of sm_80 as ptx/ has them, each against plain loops: cp.async, ldmatrix, mma, named barriers, and the prelude's numbers.
#include "cuda_check.h"

#include "backend/cuda/device/prelude.h"
#include "backend/cuda/ptx/copy_async.h"
#include "backend/cuda/ptx/matrix.h"
#include "backend/cuda/ptx/named_barrier.h"

namespace {

using namespace fedlora::cuda;

/// Thread t copies `bytes` of which t % (bytes + 1) are there; then everything goes out.
__global__ void copy_all(const unsigned char* from, unsigned char* out) {
  FED_SHARED(shared);
  const int t = static_cast<int>(threadIdx.x), warp = t / 32;
  unsigned char* to = shared + t * 16;
  if (warp == 0) cp_async16(to, from + t * 16, t % 17);
  if (warp == 1) cp_async8(to, from + t * 16, t % 9), cp_async8(to + 8, from + t * 16 + 8);
  if (warp == 2) cp_async4(to, from + t * 16, t % 5), cp_async4(to + 4, from + t * 16 + 4);
  cp_async_commit();
  if (warp == 2) cp_async8(to + 8, from + t * 16 + 8);
  cp_async_commit();
  cp_async_wait<1>();
  cp_async_wait<0>();
  __syncthreads();
  for (int i = t; i < 96 * 16; i += 96) out[i] = shared[i];
}

/// Fragments of four (two) matrices of 8×8 numbers, rows of 8 elements one after another in shared memory.
__global__ void fragments(const u16* from, u32* out) {
  FED_SHARED(shared);
  const int t = static_cast<int>(threadIdx.x);
  for (int i = t; i < 256; i += 32) reinterpret_cast<u16*>(shared)[i] = from[i];
  __syncwarp();
  const void* row = shared + t * 16;
  u32 four[4], two[2];
  ldmatrix4(four, row);
  for (int i = 0; i < 4; ++i) out[i * 32 + t] = four[i];
  ldmatrix4_trans(four, row);
  for (int i = 0; i < 4; ++i) out[128 + i * 32 + t] = four[i];
  ldmatrix2(two, row);
  for (int i = 0; i < 2; ++i) out[256 + i * 32 + t] = two[i];
  ldmatrix2_trans(two, row);
  for (int i = 0; i < 2; ++i) out[320 + i * 32 + t] = two[i];
}

/// D[16,8] = A[16,16]·B[16,8], A [16][16] and B [16][8] row-major in bf16: A by ldmatrix, B by its transposed form.
__global__ void product_bf16(const u16* a, const u16* b, float* d) {
  FED_SHARED(shared);
  const int t = static_cast<int>(threadIdx.x);
  auto *tile_a = reinterpret_cast<u16*>(shared), *tile_b = tile_a + 256;
  for (int i = t; i < 256; i += 32) tile_a[i] = a[i];
  for (int i = t; i < 128; i += 32) tile_b[i] = b[i];
  __syncwarp();
  u32 x[4], y[2];
  float sum[4] = {1, 1, 1, 1};
  ldmatrix4(x, tile_a + t % 16 * 16 + t / 16 * 8);
  ldmatrix2_trans(y, tile_b + t % 16 * 8);
  mma_bf16(sum, x, y[0], y[1]);
  for (int i = 0; i < 4; ++i) d[(t / 4 + 8 * (i / 2)) * 8 + t % 4 * 2 + i % 2] = sum[i];
}

/// The same with K 8 in tf32 and K 32 in int8; B column-major.
__global__ void product_tf32(const float* a, const float* b, float* d) {
  const int t = static_cast<int>(threadIdx.x), r = t / 4, c = t % 4;
  const auto bits = [](float value) { return __float_as_uint(value); };
  const u32 x[4] = {bits(a[r * 8 + c]), bits(a[(r + 8) * 8 + c]), bits(a[r * 8 + c + 4]), bits(a[(r + 8) * 8 + c + 4])};
  float sum[4] = {};
  mma_tf32(sum, x, bits(b[r * 8 + c]), bits(b[r * 8 + c + 4]));
  for (int i = 0; i < 4; ++i) d[(r + 8 * (i / 2)) * 8 + c * 2 + i % 2] = sum[i];
}
__global__ void product_s8(const u32* a, const u32* b, int* d) {
  const int t = static_cast<int>(threadIdx.x), r = t / 4, c = t % 4;
  const u32 x[4] = {a[r * 8 + c], a[(r + 8) * 8 + c], a[r * 8 + c + 4], a[(r + 8) * 8 + c + 4]};
  int sum[4] = {};
  mma_s8(sum, x, b[r * 8 + c], b[r * 8 + c + 4]);
  for (int i = 0; i < 4; ++i) d[(r + 8 * (i / 2)) * 8 + c * 2 + i % 2] = sum[i];
}

/// Warps 0 and 1 hand numbers to warps 2 and 3, who hand them back doubled, through barriers that the giver does not wait at.
__global__ void relay(float* out) {
  FED_SHARED(shared);
  auto* box = reinterpret_cast<float*>(shared);
  const int t = static_cast<int>(threadIdx.x), pair = t % 64;
  if (t < 64) {
    box[pair] = static_cast<float>(pair);
    named_barrier_arrive(1, 128);
    named_barrier(2, 128);
    out[pair] = box[64 + 63 - pair];
  } else {
    named_barrier(1, 128);
    box[64 + pair] = 2 * box[63 - pair];
    named_barrier_arrive(2, 128);
  }
}

__global__ void numbers(const float* x, u32* packed, float* sums) {
  const int t = static_cast<int>(threadIdx.x);
  packed[t] = pack_bf16(x[t], -x[t]);
  const bf16 one{narrow(x[t])};
  sums[t] = load(&one) + low_of(packed[t]) - high_of(packed[t]) - 3 * widen(one.bits) + warp_sum(1.0f) + warp_max(static_cast<float>(t));
}

}  // namespace

CASE("cp.async: 16, 8 and 4 bytes, the rest zero") {
  check::each_device({80, 90}, [](const Queue& queue, check::Outputs& outputs) {
    std::vector<uint8_t> from(96 * 16);
    for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(i * 7 + 1);
    const check::DeviceArray<uint8_t> in(from);
    check::DeviceArray<uint8_t> out(from.size());
    FED_LAUNCH(copy_all, 1, 96, 2048, queue.stream, in.data(), out.data());
    outputs.keep("out", out);
    const auto got = out.values();
    for (size_t t = 0; t < 96; ++t) {
      const size_t wide = t < 32 ? 16 : t < 64 ? 8 : 4, valid = t % (wide + 1);
      for (size_t i = 0; i < 16; ++i) CHECK(got[t * 16 + i] == (i < valid || i >= wide ? from[t * 16 + i] : 0));
    }
  });
}

CASE("ldmatrix: two and four matrices, as they are and transposed") {
  check::each_device({80, 90}, [](const Queue& queue, check::Outputs& outputs) {
    std::vector<uint16_t> from(256);
    for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint16_t>(i * 3 + 5);
    const check::DeviceArray<uint16_t> in(from);
    check::DeviceArray<uint32_t> out(384);
    FED_LAUNCH(fragments, 1, 32, 1024, queue.stream, in.data(), out.data());
    outputs.keep("out", out);
    const auto got = out.values();
    for (size_t lane = 0; lane < 32; ++lane)
      for (size_t matrix = 0; matrix < 4; ++matrix) {
        const size_t i = lane / 4, j = lane % 4 * 2;
        const auto at = [&](size_t row, size_t column) -> uint32_t { return from[matrix * 64 + row * 8 + column]; };
        const uint32_t plain = at(i, j) | at(i, j + 1) << 16, transposed = at(j, i) | at(j + 1, i) << 16;
        CHECK(got[matrix * 32 + lane] == plain);
        CHECK(got[128 + matrix * 32 + lane] == transposed);
        if (matrix > 1) continue;
        CHECK(got[256 + matrix * 32 + lane] == plain);
        CHECK(got[320 + matrix * 32 + lane] == transposed);
      }
  });
}

CASE("mma in bf16, tf32 and int8: exact on small integers") {
  check::each_device({80, 90}, [](const Queue& queue, check::Outputs& outputs) {
    book::Random random(1);
    const auto small = [&](size_t count) {
      std::vector<float> all(count);
      for (float& value : all) value = static_cast<float>(random.below(17)) - 8;
      return all;
    };
    const auto bits = [](const std::vector<float>& values) {
      std::vector<uint16_t> all;
      for (float value : values) all.push_back(fedlora::to_bf16(value).bits);
      return all;
    };
    check::DeviceArray<float> d(128);
    const auto judge = [&](int K, auto a, auto b, auto got) {  // a(row, k), b(k, column)
      for (int i = 0; i < 16; ++i)
        for (int j = 0; j < 8; ++j) {
          double sum = 0;
          for (int k = 0; k < K; ++k) sum += static_cast<double>(a(i, k)) * b(k, j);
          CHECK(got(i * 8 + j) == sum);
        }
    };
    const auto a = small(256), b = small(128);
    const check::DeviceArray<uint16_t> a16(bits(a)), b16(bits(b));
    FED_LAUNCH(product_bf16, 1, 32, 1024, queue.stream, a16.data(), b16.data(), d.data());
    outputs.keep("bf16", d);
    auto got = d.values();
    judge(
        16, [&](int i, int k) { return a[static_cast<size_t>(i * 16 + k)]; },
        [&](int k, int j) { return b[static_cast<size_t>(k * 8 + j)]; }, [&](int i) { return got[static_cast<size_t>(i)] - 1; });

    const check::DeviceArray<float> a32(std::vector<float>(a.begin(), a.begin() + 128)), b32(std::vector<float>(b.begin(), b.begin() + 64));
    FED_LAUNCH(product_tf32, 1, 32, 0, queue.stream, a32.data(), b32.data(), d.data());
    outputs.keep("tf32", d);
    got = d.values();
    judge(
        8, [&](int i, int k) { return a[static_cast<size_t>(i * 8 + k)]; }, [&](int k, int j) { return b[static_cast<size_t>(j * 8 + k)]; },
        [&](int i) { return got[static_cast<size_t>(i)]; });

    std::vector<int8_t> a8(512), b8(256);
    for (int8_t& value : a8) value = static_cast<int8_t>(random.below(256));
    for (int8_t& value : b8) value = static_cast<int8_t>(random.below(256));
    const check::DeviceArray<int8_t> device_a(a8), device_b(b8);
    check::DeviceArray<int> whole(128);
    FED_LAUNCH(product_s8, 1, 32, 0, queue.stream, reinterpret_cast<const u32*>(device_a.data()),
               reinterpret_cast<const u32*>(device_b.data()), whole.data());
    outputs.keep("s8", whole);
    const auto integers = whole.values();
    judge(
        32, [&](int i, int k) { return a8[static_cast<size_t>(i * 32 + k)]; },
        [&](int k, int j) { return b8[static_cast<size_t>(j * 32 + k)]; }, [&](int i) { return integers[static_cast<size_t>(i)]; });
  });
}

CASE("named barriers: wait and arrive") {
  check::each_device({80, 90}, [](const Queue& queue, check::Outputs& outputs) {
    check::DeviceArray<float> out(64);
    FED_LAUNCH(relay, 1, 128, 1024, queue.stream, out.data());
    outputs.keep("out", out);
    const auto got = out.values();
    for (size_t i = 0; i < 64; ++i) CHECK(got[i] == 2 * static_cast<float>(i));
  });
}

CASE("the prelude's numbers: bf16 pairs round to nearest even, sums and maxima over a warp") {
  check::each_device({80, 90}, [](const Queue& queue, check::Outputs& outputs) {
    std::vector<float> x = {0, 1, 1.00390625f, 1.01171875f, 1e38f, 3e-39f, -0.0f, INFINITY};
    book::Random random(2);
    while (x.size() < 32) x.push_back(static_cast<float>(random.normal()));
    const check::DeviceArray<float> in(x);
    check::DeviceArray<uint32_t> packed(32);
    check::DeviceArray<float> sums(32);
    FED_LAUNCH(numbers, 1, 32, 0, queue.stream, in.data(), packed.data(), sums.data());
    outputs.keep("packed", packed), outputs.keep("sums", sums);
    const auto pairs = packed.values();
    const auto totals = sums.values();
    for (size_t i = 0; i < 32; ++i) {
      CHECK(pairs[i] == (fedlora::to_bf16(x[i]).bits | static_cast<uint32_t>(fedlora::to_bf16(-x[i]).bits) << 16));
      if (std::isfinite(x[i]) && std::fabs(x[i]) < 100) CHECK_LE(std::fabs(totals[i] - 63), 1e-4);
    }
  });
}

CUDA_TEST_MAIN()
