#include "backend/cuda/library/memory.h"

namespace fedlora::cuda {

void* allocate(Context& context, int64_t bytes) {
  void* block = nullptr;
  const int64_t rounded = (bytes + 255) / 256 * 256;  // the next block begins aligned, too
  const cudaError_t error = cudaMalloc(&block, static_cast<size_t>(rounded));
  if (error == cudaErrorMemoryAllocation)
    fail(Verdict::memory,
         "%.2f GB are asked for, the device has %.2f GB free. Smaller micro-batches, recompute, or a smaller base format help",
         static_cast<double>(bytes) * 1e-9, static_cast<double>(free_bytes()) * 1e-9);
  expect(error, "cudaMalloc");
  zero(context, block, bytes);
  return block;
}

void release(Context& context, void* block) noexcept {
  cudaSetDevice(context.device);
  cudaFree(block);
}

void upload(Context& context, const void* from, void* to, int64_t bytes) {
  expect(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, context.queue.stream), "cudaMemcpyAsync");
}

void download(Context& context, const void* from, void* to, int64_t bytes) {
  expect(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, context.queue.stream), "cudaMemcpyAsync");
  synchronize(context);
}

void copy(Context& context, const void* from, void* to, int64_t bytes) {
  expect(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, context.queue.stream), "cudaMemcpyAsync");
}

void zero(Context& context, void* to, int64_t bytes) {
  expect(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), context.queue.stream), "cudaMemsetAsync");
}

void synchronize(Context& context) { expect(cudaStreamSynchronize(context.queue.stream), "cudaStreamSynchronize"); }

int64_t free_bytes() {
  size_t free = 0, total = 0;
  expect(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return static_cast<int64_t>(free);
}

}  // namespace fedlora::cuda
