// The emulator itself: what a kernel may not do is a fault that says who did what, what has not arrived is poison, and the runtime refuses
// what a device would refuse. Emulated only.
#include "cuda_check.h"

#include "backend/cuda/device/prelude.h"
#include "backend/cuda/ptx/barrier.h"
#include "backend/cuda/ptx/copy_async.h"
#include "backend/cuda/ptx/fence.h"
#include "backend/cuda/ptx/matrix.h"
#include "backend/cuda/ptx/named_barrier.h"
#include "backend/cuda/ptx/registers.h"
#include "backend/cuda/ptx/wgmma.h"

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

using Kernel = void (*)(void*);

/// The kernel's fault, in one block of `threads` with 4 KB of shared memory and a buffer of 64 bytes; "" when there is none.
std::string fault_of(Kernel kernel, int threads = 128, int architecture = 90, uint64_t seed = 1, bool strict = false) {
  emulator::options = {};
  emulator::options.architecture = architecture, emulator::options.seed = seed, emulator::options.strict = strict;
  emulator::options.throw_faults = true;
  const check::DeviceBytes buffer(64);
  try {
    FED_LAUNCH(kernel, 1, threads, 4096, nullptr, buffer.data());
  } catch (const emulator::Fault& fault) {
    return fault.what();
  }
  check::expect(cudaGetLastError(), "the launch");
  return "";
}

#define CHECK_FAULT(text, words)                                                                                                    \
  do {                                                                                                                              \
    const std::string fault_ = (text);                                                                                              \
    if (fault_.find(words) == std::string::npos) harness::report(__FILE__, __LINE__, "expected '" words "', got '" + fault_ + "'"); \
  } while (0)

template <class T>
T* shared_as(int offset = 0) {
  return reinterpret_cast<T*>(emulator::shared_memory() + offset);
}
int thread() { return static_cast<int>(threadIdx.x); }

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

CASE("canary: a sound kernel has no fault") {
  CHECK(fault_of([](void* p) { static_cast<float*>(p)[thread() % 16] = 1; }).empty());
}

CASE("collectives that not everybody reaches") {
  CHECK_FAULT(fault_of([](void*) {
                if (thread() % 32 < 16) __shfl_sync(~0u, 1, 0);
              }),
              "deadlock: 64 in __shfl_sync");
  CHECK_FAULT(fault_of([](void*) {
                if (thread() < 32)
                  __syncthreads();
                else
                  __shfl_sync(1u, 1, 0);
              }),
              "mask that leaves the caller out");
  CHECK_FAULT(fault_of([](void*) {
                if (thread() % 2)
                  __shfl_sync(~0u, 1, 0);
                else
                  __ballot_sync(~0u, 1);
              }),
              "while its neighbours do");
  CHECK_FAULT(fault_of([](void*) {
                if (thread() % 32 < 8) __shfl_sync(0xffu, 1, 9);
              }),
              "reads lane 9, which is not in the mask");
  CHECK_FAULT(fault_of([](void*) {
                if (thread() < 64) named_barrier(1, 128);
              }),
              "deadlock: 64 in bar.sync (the first is thread 0)");
  CHECK_FAULT(fault_of([](void*) { named_barrier(0, 128); }), "barrier 0");
}

CASE("bounds and alignment") {
  CHECK_FAULT(fault_of([](void* p) { static_cast<float*>(p)[16] = 1; }), "touches 0 bytes behind the end of an allocation of");
  CHECK_FAULT(fault_of([](void* p) {
                if (static_cast<volatile float*>(p)[1024]) __trap();
              }),
              "bytes behind the end of an allocation of");
  CHECK_FAULT(fault_of([](void*) { shared_as<volatile char>()[4096] = 1; }), "touches shared byte 4096 of 4096");
  CHECK_FAULT(fault_of([](void*) {
                u32 r[4];
                ldmatrix4(r, shared_as<char>(4096 - 8 * thread()));
              }),
              "ldmatrix");
  CHECK_FAULT(fault_of([](void* p) { cp_async16(shared_as<char>(8), p); }), "cp.async: shared address 8 is not aligned to 16");
  CHECK_FAULT(fault_of([](void* p) { cp_async8(shared_as<char>(8), static_cast<char*>(p) + 4); }), "is not aligned to 8");
  CHECK_FAULT(fault_of([](void*) { __trap(); }), "__trap");
}

CASE("the host's memory is not the device's") {
  emulator::options = {};
  emulator::options.throw_faults = true;
  const Kernel nothing = [](void*) {};
  const auto fault_with = [&](void* p) -> std::string {
    try {
      FED_LAUNCH(nothing, 1, 32, 0, nullptr, p);
    } catch (const emulator::Fault& fault) {
      return fault.what();
    }
    return "";
  };
  float on_host[4] = {};
  void* pinned = nullptr;
  const check::DeviceBytes buffer(64);
  check::expect(cudaHostAlloc(&pinned, 16, cudaHostAllocDefault), "cudaHostAlloc");
  CHECK_FAULT(fault_with(on_host), "argument 1 is a pointer to memory of the host");
  CHECK(fault_with(pinned).empty());
  CHECK(fault_with(nullptr).empty());
  CHECK(fault_with(buffer.data<char>() + 64).empty());
  check::expect(cudaFreeHost(pinned), "cudaFreeHost");
  CHECK_FAULT(fault_with(pinned), "memory of the host");
  CHECK(!emulator::host_can_read(buffer.data()));
  const emulator::DeviceAccess access;
  CHECK(emulator::host_can_read(buffer.data()));
}

CASE("what has not arrived is poison") {
  CHECK_FAULT(fault_of([](void* p) {
                if (std::isnan(*static_cast<float*>(p))) __trap();
              }),
              "__trap");
  CHECK_FAULT(fault_of([](void*) {
                if (std::isnan(*shared_as<float>())) __trap();
              }),
              "__trap");
  CHECK_FAULT(fault_of([](void* p) {
                static_cast<float*>(p)[0] = 1;
                cp_async4(shared_as<char>(4 * thread()), p);
                if (std::isnan(shared_as<volatile float>()[thread()])) __trap();
              }),
              "__trap");
  CHECK_FAULT(fault_of([](void* p) { cp_async4(shared_as<char>(4 * thread()), p), cp_async_commit(); }), "ends with cp.async in flight");
}

CASE("mbarriers") {
  CHECK_FAULT(fault_of([](void*) { barrier_arrive(shared_as<u64>()); }), "not initialised or was overwritten");
  CHECK_FAULT(fault_of([](void*) {
                if (thread() == 0) barrier_init(shared_as<u64>(), 3);
                __syncthreads();
                if (thread() < 2) barrier_arrive(shared_as<u64>());
                barrier_wait(shared_as<u64>(), 0);
              }),
              "deadlock: 128 in mbarrier.wait");
  CHECK_FAULT(fault_of([](void*) {
                if (thread() == 0) {
                  barrier_init(shared_as<u64>(), 1);
                  barrier_arrive_expect(shared_as<u64>(), 16);  // the phase lasts: bytes are missing
                  barrier_arrive(shared_as<u64>());
                }
              }),
              "more arrivals than the 1 announced");
  CHECK_FAULT(fault_of([](void*) { barrier_init(shared_as<u64>(), 1); }, 32, 80), "mbarrier.init does not exist on sm_80");
}

CASE("wgmma's rules") {
  CHECK_FAULT(fault_of([](void*) {
                float d[32];
                wgmma_ss<64, 0, 0>(d, 0, 0, 0);
              }),
              "wgmma without wgmma.fence");
  CHECK_FAULT(fault_of([](void*) {
                float d[32];
                wgmma_fence();
                wgmma_ss<64, 0, 0>(d, static_cast<u64>(thread() / 64), 0, 0);
              }),
              "has another descriptor");
  CHECK_FAULT(fault_of([](void*) {
                float d[32];
                wgmma_fence();
                wgmma_ss<64, 0, 0>(d, descriptor(shared_as<char>(), 16, 1024), descriptor(shared_as<char>(), 16, 1024), 0);
                wgmma_commit();
              }),
              "ends with wgmma in flight");
  const Kernel unfenced = [](void*) {
    for (int i = thread(); i < 1024; i += 128) shared_as<float>()[i] = 0;
    __syncthreads();
    float d[16];
    wgmma_fence();
    wgmma_ss<32, 0, 0>(d, descriptor(shared_as<char>(), 16, 256), descriptor(shared_as<char>(), 16, 256), 0);
    wgmma_commit();
    wgmma_wait<0>();
  };
  CHECK(fault_of(unfenced).empty());
  CHECK_FAULT(fault_of(unfenced, 128, 90, 1, true), "without fence.proxy.async");
  CHECK_FAULT(fault_of([](void*) { registers_take<240>(); }, 384), "of 65,536 registers");
  CHECK_FAULT(fault_of([](void*) { registers_take<240>(); }, 128, 80), "setmaxnreg does not exist on sm_80");
}

CASE("a missing __syncthreads is seen by one of the scheduling policies") {
  const Kernel racing = [](void*) {
    shared_as<float>()[thread()] = 1;
    if (std::isnan(shared_as<volatile float>()[127 - thread()])) __trap();
  };
  int seen = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) seen += !fault_of(racing, 128, 90, seed).empty();
  CHECK(seen >= 2);
}

CASE("the runtime refuses what a device would refuse") {
  emulator::options = {};
  const auto try_launch = [](dim3 grid, dim3 block, size_t shared) {
    const Kernel nothing = [](void*) {};
    FED_LAUNCH(nothing, grid, block, shared, nullptr, nullptr);
    return cudaGetLastError();
  };
  CHECK(try_launch(1, 1024, 48 << 10) == cudaSuccess);
  CHECK(try_launch(1, 1025, 0) == cudaErrorInvalidConfiguration);
  CHECK(try_launch(0, 32, 0) == cudaErrorInvalidConfiguration);
  CHECK(try_launch(dim3(1, 65536), 32, 0) == cudaErrorInvalidConfiguration);
  CHECK(try_launch(1, 32, (48 << 10) + 1) == cudaErrorInvalidValue);
  void* p = nullptr;
  CHECK(cudaMalloc(&p, size_t{9} << 30) == cudaErrorMemoryAllocation);
  emulator::options.failing_allocation = 2;
  CHECK(cudaMalloc(&p, 16) == cudaSuccess);
  void* second = nullptr;
  CHECK(cudaMalloc(&second, 16) == cudaErrorMemoryAllocation);
  char host[32] = {};
  CHECK(cudaMemcpy(p, host, 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(p, host, 16, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaFree(p) == cudaSuccess);
  CHECK(cudaFree(host) == cudaErrorInvalidValue);
  cudaGetLastError();
}

CASE("a fault that is not thrown leaves a dead device") {
  emulator::options = {};
  const Kernel trap = [](void*) { __trap(); };
  FED_LAUNCH(trap, 1, 32, 0, nullptr, nullptr);
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  emulator::revive();
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

CUDA_TEST_MAIN()
