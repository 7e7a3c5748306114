/// The CUDA backend: every operator is a call of the library's table (operator_calls.h); here is what stands beside them.
#pragma once
#include "backend/cuda/cuda_memory.h"
#include "backend/cuda/operator_calls.h"

namespace fedlora::cuda {

class CudaBackend final : public ConnectedOperators {
 public:
  CudaBackend(const std::shared_ptr<Connection>& connection, Compute compute, int threads)
      : ConnectedOperators(connection), compute_(compute), threads_(threads), memory_(std::make_shared<CudaMemory>(connection)) {}

  std::string name() const override;
  Compute compute() const override { return compute_; }
  /// Of the host: what reads and packs weights.
  int threads() const override { return threads_; }
  const std::shared_ptr<Memory>& memory() const override { return memory_; }
  /// Codes are held as bf16 numbers when that is what the kernels multiply, and at most half of the free memory goes to weights.
  void expect(const WeightBytes& weights) override { decoded_ = compute_ == Compute::bf16 && weights.decoded <= memory_->available() / 2; }
  /// The matrix goes to the device, its nested scales decoded, and leaves the host.
  void adopt(Matrix& matrix) override;
  bool keeps_nested_scales() const override { return false; }
  std::string lacks(const Need& need) const override;
  OwnBytes needs(const PassSize& pass) const override;
  size_t scratch_bytes() const override;

 private:
  Compute compute_;
  int threads_;
  bool decoded_ = false;
  std::shared_ptr<Memory> memory_;
};

/// The backend over a library's device. Throws what keeps it from being used.
std::unique_ptr<Backend> make_cuda_backend(const Api& api, int device, Compute compute, int threads);

}  // namespace fedlora::cuda
