/// What the timing programs share: random numbers in device memory, the median time of repeated work, a line of results.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cuda/device/element.h"
#include "backend/cuda/launch/queue.h"

namespace stopwatch {

inline void expect(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

/// Uniform in [−scale, scale), by a hash of the index (splitmix64): never zeros, whose products run faster than those of numbers.
template <class T>
__global__ void fill_kernel(int64_t count, uint64_t seed, float scale, T* out) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
    uint64_t z = (static_cast<uint64_t>(i) + 1) * 0x9e3779b97f4a7c15 + seed;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    const float value = (static_cast<float>(z >> 40) * 0x1p-23f - 1.0f) * scale;
    if constexpr (sizeof(T) == 1)
      out[i] = static_cast<T>(z >> 56);
    else if constexpr (sizeof(T) == 2)
      out[i].bits = static_cast<uint16_t>(__float_as_uint(value) >> 16);
    else
      out[i] = value;
  }
}

/// `count` random numbers on the device, given back at the end.
template <class T>
class Numbers {
 public:
  explicit Numbers(int64_t count, float scale = 1.0f) {
    expect(cudaMalloc(reinterpret_cast<void**>(&data_), static_cast<size_t>(count) * sizeof(T)), "cudaMalloc");
    static uint64_t seed = 0;
    fill_kernel<<<1024, 256>>>(count, ++seed << 32, scale, data_);
    expect(cudaGetLastError(), "fill_kernel");
  }
  Numbers(const Numbers&) = delete;
  ~Numbers() { cudaFree(data_); }
  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
};

/// Median seconds of `work` on the default stream: `warm` runs before, then `runs`, each between two events.
template <class Work>
double median_seconds(const Work& work, int runs = 11, int warm = 2) {
  for (int i = 0; i < warm; ++i) work();
  expect(cudaDeviceSynchronize(), "warming up");
  std::vector<cudaEvent_t> events(static_cast<size_t>(2 * runs));
  for (cudaEvent_t& event : events) expect(cudaEventCreate(&event), "cudaEventCreate");
  for (int i = 0; i < runs; ++i) {
    cudaEventRecord(events[static_cast<size_t>(2 * i)]);
    work();
    cudaEventRecord(events[static_cast<size_t>(2 * i + 1)]);
  }
  expect(cudaDeviceSynchronize(), "the work");
  std::vector<float> milliseconds(static_cast<size_t>(runs));
  for (int i = 0; i < runs; ++i) {
    cudaEventElapsedTime(&milliseconds[static_cast<size_t>(i)], events[static_cast<size_t>(2 * i)], events[static_cast<size_t>(2 * i + 1)]);
  }
  for (cudaEvent_t event : events) cudaEventDestroy(event);
  std::nth_element(milliseconds.begin(), milliseconds.begin() + runs / 2, milliseconds.end());
  return milliseconds[static_cast<size_t>(runs / 2)] * 1e-3;
}

/// A row of the table: what, microseconds, and how much of it in a second.
inline void line(const std::string& what, double seconds, double amount, const char* unit) {
  std::printf("| %s | %.1f | %.0f %s |\n", what.c_str(), seconds * 1e6, amount / seconds, unit);
  std::fflush(stdout);
}

}  // namespace stopwatch
