/// Small host arrays on their way to the device: ids, positions, offsets, tile lists. They are copied into pinned memory at once, so that
/// the caller may forget them, and from there by the stream into a block of device memory of the same size.
///
/// Both blocks are rings of `parts` parts. A part of the pinned block may be written again when the copies out of it have run: an event
/// recorded when the ring moved on tells. The device block needs none: the stream runs its copies after the kernels that read what they
/// replace. Arrays that come again within a part, as positions and offsets do in every layer, are sent once.
///
/// An array larger than a part brings a larger ring. The smaller ones stay, because an operator at work may hold what was sent through
/// them; together they are smaller than the newest.
#pragma once
#include <cuda_runtime.h>

#include <vector>

#include "backend/cuda/abi.h"

namespace fedlora::cuda {

class Staging {
 public:
  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  ~Staging();
  Staging(const Staging&) = delete;

  /// A copy of `bytes` bytes on the device, valid for work put on the stream before `parts - 1` further parts are filled.
  const void* send(const void* from, size_t bytes);
  template <class T>
  const T* send(View<const T> values) {
    return static_cast<const T*>(send(values.data, static_cast<size_t>(values.size) * sizeof(T)));
  }
  /// On the device.
  size_t bytes() const;
  /// bytes() once an array of `longest` bytes was sent, with shorter ones before it.
  static size_t bytes_for(size_t longest) {
    return parts * (longest > first_part_bytes ? first_part_bytes + part_for(longest) : first_part_bytes);
  }

 private:
  static constexpr int parts = 4;
  static constexpr size_t first_part_bytes = size_t{1} << 20;
  struct Ring {
    size_t part_bytes = 0;
    unsigned char *pinned = nullptr, *device = nullptr;
    cudaEvent_t left[parts] = {};
  };
  struct Sent {
    size_t at, bytes;
  };
  /// Of a ring whose parts hold an array of `bytes` bytes.
  static size_t part_for(size_t bytes);
  void grow(size_t bytes);
  void next_part();

  cudaStream_t stream_;
  std::vector<Ring> rings_;  // the last is in use
  int part_ = 0;
  size_t used_ = 0;         // of the part
  std::vector<Sent> sent_;  // in the part; places in the ring
};

}  // namespace fedlora::cuda
