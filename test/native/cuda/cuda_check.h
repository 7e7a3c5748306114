/// What the tests of CUDA kernels share: device memory between sentinels, one loop over architectures and scheduling seeds, the program's
/// arguments. The same source runs in the emulator (compiled by the host's compiler) and on a device (by nvcc).
///
///   --only TEXT   the cases whose name contains TEXT        --seeds N   orders of threads that each case is run in (4)
///   --strict      shared memory that the tensor cores read must have been fenced (about ten times slower)
///   --small       of each case the first two shapes (calls of each_device): for the sanitizers. So small shapes come first
#pragma once
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/queue.h"
#include "base/half.h"
#include "harness.h"
#include "tensor_check.h"

namespace check {

#if defined(FEDLORA_EMULATED)
inline constexpr bool emulated = true;
#else
inline constexpr bool emulated = false;
#endif

inline void expect(cudaError_t error, const char* call) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(error));
}

/// `bytes` of device memory, poisoned with NaN, sentinels in front and behind. In the emulator it ends at a page that nobody may touch.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes) : bytes_(bytes), behind_(emulated ? (16 - bytes % 16) % 16 : margin) {
    expect(cudaMalloc(&memory_, margin + bytes_ + behind_), "cudaMalloc");
    expect(cudaMemset(memory_, sentinel, margin + bytes_ + behind_), "cudaMemset");
    fill(0xff);
  }
  DeviceBytes(const void* from, size_t bytes) : DeviceBytes(bytes) { write(from); }
  DeviceBytes(const DeviceBytes&) = delete;
  ~DeviceBytes() { cudaFree(memory_); }

  template <class T = void>
  T* data() const {
    return reinterpret_cast<T*>(memory_ + margin);
  }
  size_t bytes() const { return bytes_; }
  void fill(int value) { expect(cudaMemset(memory_ + margin, value, bytes_), "cudaMemset"); }
  void write(const void* from) { expect(cudaMemcpy(memory_ + margin, from, bytes_, cudaMemcpyHostToDevice), "cudaMemcpy"); }
  std::vector<uint8_t> read() const {
    std::vector<uint8_t> all(bytes_);
    expect(cudaMemcpy(all.data(), memory_ + margin, bytes_, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return all;
  }
  bool intact() const {
    std::vector<uint8_t> all(margin + bytes_ + behind_);
    expect(cudaMemcpy(all.data(), memory_, all.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    for (size_t i = 0; i < all.size(); ++i)
      if ((i < margin || i >= margin + bytes_) && all[i] != sentinel) return false;
    return true;
  }

 private:
  static constexpr size_t margin = 256;
  static constexpr uint8_t sentinel = 0xa5;
  size_t bytes_, behind_;
  char* memory_ = nullptr;
};

/// `count` values of a plain type in device memory.
template <class T>
class DeviceArray : public DeviceBytes {
 public:
  explicit DeviceArray(size_t count) : DeviceBytes(count * sizeof(T)) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceBytes(values.data(), values.size() * sizeof(T)) {}
  T* data() const { return DeviceBytes::data<T>(); }
  std::vector<T> values() const {
    std::vector<T> all(bytes() / sizeof(T));
    expect(cudaMemcpy(all.data(), data(), bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return all;
  }
};

/// A tensor of f32 or bf16 in device memory; `values` are exactly what is stored.
class DeviceNumbers : public DeviceBytes {
 public:
  DeviceNumbers(fedlora::cuda::Element element, int64_t count)
      : DeviceBytes(static_cast<size_t>(count * fedlora::cuda::width_of(element))), element_(element) {}
  DeviceNumbers(fedlora::cuda::Element element, const Tensor& values) : DeviceNumbers(element, static_cast<int64_t>(values.size())) {
    write(values);
  }
  void write(const Tensor& values) {
    std::vector<float> wide(values.begin(), values.end());
    std::vector<fedlora::bf16> narrow(values.size());
    for (size_t i = 0; i < wide.size(); ++i) narrow[i] = fedlora::to_bf16(wide[i]);
    DeviceBytes::write(element_ == fedlora::cuda::Element::f32 ? static_cast<const void*>(wide.data()) : narrow.data());
  }
  Tensor values() const {
    const std::vector<uint8_t> raw = read();
    Tensor all(raw.size() / static_cast<size_t>(fedlora::cuda::width_of(element_)));
    for (size_t i = 0; i < all.size(); ++i) {
      float wide;
      fedlora::bf16 narrow;
      if (element_ == fedlora::cuda::Element::f32)
        std::memcpy(&wide, raw.data() + 4 * i, 4), all[i] = wide;
      else
        std::memcpy(&narrow, raw.data() + 2 * i, 2), all[i] = fedlora::to_f32(narrow);
    }
    return all;
  }

 private:
  fedlora::cuda::Element element_;
};

/// The outputs of one case on one architecture: between sentinels, and the same bits in whatever order threads ran.
class Outputs {
 public:
  void keep(const std::string& name, const DeviceBytes& output) {
    if (!output.intact()) harness::report(__FILE__, __LINE__, name + ": written outside its bounds");
    const auto [first, is_first] = bits_.try_emplace(name, output.read());
    if (!is_first && first->second != output.read())
      harness::report(__FILE__, __LINE__, name + ": other bits with this seed than with the first");
  }

 private:
  std::map<std::string, std::vector<uint8_t>> bits_;
};

/// Arguments of the program.
struct Arguments {
  int seeds = 4;
  bool strict = false, small = false;
};
inline Arguments& arguments() {
  static Arguments all;
  return all;
}

/// With --small: whether this call of each_device is one too many for its case.
inline bool left_out() {
  static int in_case = 0, calls = 0;
  if (in_case != harness::current_case()) in_case = harness::current_case(), calls = 0;
  return ++calls > 2 && arguments().small;
}

#if defined(FEDLORA_EMULATED)
/// body(queue, outputs) on each architecture with each seed: even and odd seeds are the two scheduling policies.
template <class Body>
void each_device(std::initializer_list<int> architectures, const Body& body) {
  if (left_out()) return;
  for (int architecture : architectures) {
    Outputs outputs;
    for (int seed = 1; seed <= arguments().seeds; ++seed) {
      emulator::options.architecture = architecture;
      emulator::options.seed = static_cast<uint64_t>(seed);
      emulator::options.strict = arguments().strict;
      emulator::options.throw_faults = true;
      const int before = harness::failures();
      try {
        body(fedlora::cuda::Queue{nullptr, architecture}, outputs);
        expect(cudaGetLastError(), "the launch");
      } catch (const std::exception& error) {
        harness::report(__FILE__, __LINE__, error.what());
      }
      if (harness::failures() > before) std::printf("# … on sm_%d, seed %d\n", architecture, seed);
    }
  }
}
#else
/// body(queue, outputs) on the machine's device, if it is one of the architectures' generation; three times, which must give equal bits.
template <class Body>
void each_device(std::initializer_list<int>, const Body& body) {
  if (left_out()) return;
  int major = 0, minor = 0;
  expect(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "cudaDeviceGetAttribute");
  expect(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0), "cudaDeviceGetAttribute");
  Outputs outputs;
  for (int run = 0; run < 3; ++run) {
    body(fedlora::cuda::Queue{nullptr, 10 * major + minor}, outputs);
    expect(cudaGetLastError(), "the launch");
    expect(cudaDeviceSynchronize(), "the kernel");
  }
}
#endif

inline int run(int argc, char** argv) {
  std::vector<char*> rest;
  for (int i = 0; i < argc; ++i) {
    if (std::strcmp(argv[i], "--strict") == 0)
      arguments().strict = true;
    else if (std::strcmp(argv[i], "--small") == 0)
      arguments().small = true;
    else if (std::strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
      arguments().seeds = std::atoi(argv[++i]);
    else
      rest.push_back(argv[i]);
  }
  return harness::run(static_cast<int>(rest.size()), rest.data());
}

}  // namespace check

#define CUDA_TEST_MAIN() \
  int main(int argc, char** argv) { return check::run(argc, argv); }
