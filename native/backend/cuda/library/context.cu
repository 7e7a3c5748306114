#include "backend/cuda/library/context.h"

#include <cstdlib>

#include "backend/cuda/library/machine.h"

namespace fedlora::cuda {

namespace {

/// FEDLORA_CUDA_SYNC, as the other switches of the engine: set, and not 0.
bool synchronous_by_environment() {
  const char* value = std::getenv("FEDLORA_CUDA_SYNC");
  return value != nullptr && *value != 0 && std::string(value) != "0";
}

/// The device's capability, once it is this thread's.
int chosen(int device) {
  DeviceInfo info{};
  describe(device, info);
  expect(cudaSetDevice(device), "cudaSetDevice");
  return info.capability;
}

}  // namespace

Stream::Stream() { expect(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
Stream::~Stream() { cudaStreamDestroy(stream); }

Context::Context(const OpenRequest& request)
    : device(request.device),
      compute(request.compute),
      capability(chosen(request.device)),
      queue{own.stream, capability},
      staging(own.stream),
      workspace(own.stream),
      synchronous(synchronous_by_environment()) {}

Context::~Context() {
  cudaSetDevice(device);
  cudaStreamSynchronize(own.stream);
}

void Context::begin() const {
  if (dead) fail(Verdict::failed, "the CUDA device failed earlier");
  expect(cudaSetDevice(device), "cudaSetDevice");
}

void Context::end() const {
  expect(cudaGetLastError(), "launch");
  if (synchronous) expect(cudaStreamSynchronize(own.stream), "execution");
}

void Context::examine() {
  cudaGetLastError();  // forgets an error of a call, such as a failed allocation; those of the device stay
  dead = dead || cudaStreamSynchronize(own.stream) != cudaSuccess;
}

}  // namespace fedlora::cuda
