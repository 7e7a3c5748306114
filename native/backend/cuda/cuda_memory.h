/// Memory of a CUDA device as the engine's buffers know it.
#pragma once
#include "backend/cuda/connection.h"
#include "backend/memory.h"

namespace fedlora::cuda {

class CudaMemory final : public Memory {
 public:
  explicit CudaMemory(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

  bool host() const override { return false; }
  void* allocate(size_t bytes) override;
  void release(void* place, size_t bytes) noexcept override;
  size_t available() const override;
  void upload(const void* from, void* to, size_t bytes) override;
  void download(const void* from, void* to, size_t bytes) override;
  void copy(const void* from, void* to, size_t bytes) override;
  void zero(void* to, size_t bytes) override;

 private:
  std::shared_ptr<Connection> connection_;  // buffers outlive the backend
};

}  // namespace fedlora::cuda
