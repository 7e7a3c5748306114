/// Scratch memory of the operators, one block that grows to the largest need. Operators run one after another on one stream, so that each
/// may use the whole of it.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>

namespace fedlora::cuda {

class Workspace {
 public:
  explicit Workspace(cudaStream_t stream) : stream_(stream) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;

  /// At least `bytes` bytes, valid until the next call; a larger need than any before waits for the work on the stream.
  void* reserve(size_t bytes);
  size_t bytes() const { return bytes_; }

 private:
  cudaStream_t stream_;
  void* block_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace fedlora::cuda
