#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "device_memory.h"
#include "fault.h"
#include "launch.h"
#include "options.h"
#include "tensor_map.h"

namespace {

cudaError_t last_error = cudaSuccess;
cudaError_t sticky_error = cudaSuccess;  // of a device that a kernel's fault has killed

cudaError_t give(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}
/// What a call that reaches the device says when it has nothing to complain of itself.
cudaError_t done() { return sticky_error; }

/// Dynamic shared memory that a kernel was allowed; without a word, 48 KB.
std::unordered_map<const void*, size_t>& allowed_shared() {
  static auto& all = *new std::unordered_map<const void*, size_t>;
  return all;
}
constexpr size_t default_shared = size_t{48} << 10;

}  // namespace

namespace emulator {

namespace {

/// What a device says to such a launch.
cudaError_t judge_launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes) {
  if (sticky_error != cudaSuccess) return sticky_error;
  if (options.failing_launch > 0 && --options.failing_launch == 0) return cudaErrorLaunchFailure;
  const auto found = allowed_shared().find(kernel);
  const size_t allowed = found == allowed_shared().end() ? default_shared : found->second;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  const bool sound = threads >= 1 && threads <= 1024 && block.z <= 64 && grid.x >= 1 && grid.x <= 0x7fffffff && grid.y >= 1 &&
                     grid.y <= 65535 && grid.z >= 1 && grid.z <= 65535;
  if (!sound) return cudaErrorInvalidConfiguration;
  return shared_bytes > allowed ? cudaErrorInvalidValue : cudaSuccess;
}

}  // namespace

void try_grid(const char* name, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  if (const cudaError_t error = judge_launch(kernel, grid, block, shared_bytes)) {
    give(error);
    return;
  }
  try {
    const DeviceAccess access;
    run_grid(name, grid, block, shared_bytes, body);
  } catch (const Fault& fault) {
    if (options.throw_faults) throw;
    std::fprintf(stderr, "emulator: %s\n", fault.what());
    sticky_error = cudaErrorLaunchFailure;
  }
}

void revive() { last_error = sticky_error = cudaSuccess; }

}  // namespace emulator

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    default:
      return "an error of the emulated runtime";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() {
  const cudaError_t error = std::exchange(last_error, cudaSuccess);
  return sticky_error != cudaSuccess ? sticky_error : error;
}
cudaError_t cudaPeekAtLastError() { return sticky_error != cudaSuccess ? sticky_error : last_error; }

cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : give(cudaErrorInvalidDevice); }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return give(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated");
  properties->totalGlobalMem = emulator::options.memory;
  properties->sharedMemPerBlockOptin = emulator::most_shared(emulator::options.architecture);
  properties->major = emulator::options.architecture / 10;
  properties->minor = emulator::options.architecture % 10;
  properties->multiProcessorCount = 4;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  return give(cudaErrorInvalidValue);
}
cudaError_t cudaDeviceSynchronize() { return done(); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = emulator::options.memory;
  *free = *total - emulator::device_bytes();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** p, size_t bytes) {
  *p = emulator::device_allocate(bytes);
  return *p ? cudaSuccess : give(cudaErrorMemoryAllocation);
}
cudaError_t cudaFree(void* p) { return !p || emulator::device_release(p) ? cudaSuccess : give(cudaErrorInvalidValue); }
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  *p = emulator::pinned_allocate(bytes);
  return *p ? cudaSuccess : give(cudaErrorMemoryAllocation);
}
cudaError_t cudaMallocHost(void** p, size_t bytes) { return cudaHostAlloc(p, bytes, 0); }
cudaError_t cudaFreeHost(void* p) { return emulator::pinned_release(p) ? cudaSuccess : give(cudaErrorInvalidValue); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (!emulator::within_allocation(to, bytes) || !emulator::within_allocation(from, bytes)) return give(cudaErrorInvalidValue);
  const emulator::DeviceAccess access;
  std::memmove(to, from, bytes);
  return done();
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) { return cudaMemcpyAsync(to, from, bytes, kind); }
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return give(cudaErrorInvalidValue);
  for (size_t row = 0; row < height; ++row) {
    const cudaError_t error =
        cudaMemcpyAsync(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width, kind, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (!emulator::within_allocation(to, bytes)) return give(cudaErrorInvalidValue);
  const emulator::DeviceAccess access;
  std::memset(to, value, bytes);
  return done();
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes); }

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = static_cast<cudaStream_t>(std::malloc(1));
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return std::free(stream), cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return done(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = static_cast<cudaEvent_t>(std::malloc(1));
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return std::free(event), cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return done(); }
cudaError_t cudaEventQuery(cudaEvent_t) { return done(); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) { return *milliseconds = 1, cudaSuccess; }

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) > emulator::most_shared(emulator::options.architecture)) return give(cudaErrorInvalidValue);
  allowed_shared()[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool known = std::string_view(symbol) == "cuTensorMapEncodeTiled";
  *function = known ? reinterpret_cast<void*>(&emulator::encode_tiled) : nullptr;
  if (result) *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
