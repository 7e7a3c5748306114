#include "backend/cuda/library/workspace.h"

#include "backend/cuda/library/failure.h"

namespace fedlora::cuda {

Workspace::~Workspace() {
  if (block_ != nullptr) cudaFree(block_);
}

void* Workspace::reserve(size_t bytes) {
  if (bytes <= bytes_) return block_;
  expect(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  if (block_ != nullptr) cudaFree(block_);
  block_ = nullptr;
  bytes_ = 0;
  expect(cudaMalloc(&block_, bytes), "cudaMalloc of the workspace");
  bytes_ = bytes;
  return block_;
}

}  // namespace fedlora::cuda
