// The emulator itself: threads, collectives and memory behave as the programming guide says, and what a kernel may not do is a fault.
#include "cuda_check.h"

#include "backend/cuda/device/prelude.h"

namespace {

using namespace fedlora::cuda;

/// y = 2·x and the block's sum, through shared memory and a warp.
__global__ void double_and_sum(int count, const float* x, float* y, float* sums) {
  FED_SHARED(shared);
  auto* partial = reinterpret_cast<float*>(shared);
  const int t = static_cast<int>(threadIdx.x), i = static_cast<int>(blockIdx.x * blockDim.x) + t;
  const float value = i < count ? x[i] : 0.0f;
  if (i < count) y[i] = 2 * value;
  const float sum = warp_sum(value);
  if (t % 32 == 0) partial[t / 32] = sum;
  __syncthreads();
  if (t < 32) {
    const float all = warp_sum(t < static_cast<int>(blockDim.x) / 32 ? partial[t] : 0.0f);
    if (t == 0) sums[blockIdx.x] = all;
  }
}

}  // namespace

CASE("a kernel's blocks and threads: guarded edge, shared memory, warp sums") {
  const int count = 1000;
  std::vector<float> x(count);
  for (int i = 0; i < count; ++i) x[static_cast<size_t>(i)] = static_cast<float>(i % 7);
  check::each_device({80, 90}, [&](const Queue& queue, check::Outputs& outputs) {
    const check::DeviceArray<float> in(x);
    check::DeviceArray<float> y(count), sums(4);
    FED_LAUNCH(double_and_sum, 4, 256, 1024, queue.stream, count, in.data(), y.data(), sums.data());
    outputs.keep("y", y), outputs.keep("sums", sums);
    double total = 0;
    for (float sum : sums.values()) total += sum;
    CHECK(total == 2997);
    const std::vector<float> doubled = y.values();
    for (size_t i = 0; i < doubled.size(); ++i) CHECK(doubled[i] == 2 * x[i]);
  });
}

CUDA_TEST_MAIN()
