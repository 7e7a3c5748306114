#include "backend/cuda/cuda_memory.h"

namespace fedlora::cuda {

void* CudaMemory::allocate(size_t bytes) {
  void* place = nullptr;
  connection_->call(connection_->api().allocate, static_cast<int64_t>(bytes), &place);
  return place;
}

void CudaMemory::release(void* place, size_t) noexcept { connection_->api().release(connection_->context(), place); }

size_t CudaMemory::available() const {
  int64_t bytes = 0;
  connection_->call(connection_->api().free_bytes, &bytes);
  return static_cast<size_t>(bytes);
}

void CudaMemory::upload(const void* from, void* to, size_t bytes) {
  connection_->call(connection_->api().upload, from, to, static_cast<int64_t>(bytes));
}

void CudaMemory::download(const void* from, void* to, size_t bytes) {
  connection_->call(connection_->api().download, from, to, static_cast<int64_t>(bytes));
}

void CudaMemory::copy(const void* from, void* to, size_t bytes) {
  connection_->call(connection_->api().copy, from, to, static_cast<int64_t>(bytes));
}

void CudaMemory::zero(void* to, size_t bytes) { connection_->call(connection_->api().zero, to, static_cast<int64_t>(bytes)); }

}  // namespace fedlora::cuda
