#include "backend/cuda/launch/rows.h"

#include "backend/cuda/device/rows.cuh"

namespace fedlora::cuda {

namespace {

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % sizeof(uint4) == 0; }

template <bool Gather>
void move_rows(const Queue& queue, int64_t count, int64_t bytes, const int32_t* rows, const void* from, void* to) {
  if (count == 0) return;
  const dim3 grid(static_cast<unsigned>(count));
  if (bytes % static_cast<int64_t>(sizeof(uint4)) == 0 && aligned(from) && aligned(to))
    FED_LAUNCH((move_rows_kernel<uint4, Gather>), grid, dim3(row_threads), 0, queue.stream, bytes / static_cast<int64_t>(sizeof(uint4)),
               rows, static_cast<const uint4*>(from), static_cast<uint4*>(to));
  else
    FED_LAUNCH((move_rows_kernel<u16, Gather>), grid, dim3(row_threads), 0, queue.stream, bytes / 2, rows, static_cast<const u16*>(from),
               static_cast<u16*>(to));
}

template <class T>
void embedding(const Queue& queue, int64_t M, const int32_t* ids, const DeviceMatrix& table, float multiplier, float* x) {
  FED_LAUNCH((embedding_kernel<T>), dim3(static_cast<unsigned>(M)), dim3(row_threads), 0, queue.stream, table.K, ids,
             static_cast<const T*>(table.data), multiplier, x);
}

}  // namespace

void embedding_forward(const Queue& queue, int64_t M, const int32_t* ids, const DeviceMatrix& table, float multiplier, float* x) {
  if (M == 0) return;
  if (table.format == Format::f32) embedding<float>(queue, M, ids, table, multiplier, x);
  if (table.format == Format::f16) embedding<f16>(queue, M, ids, table, multiplier, x);
  if (table.format == Format::bf16) embedding<bf16>(queue, M, ids, table, multiplier, x);
}

void gather_rows(const Queue& queue, int64_t count, int64_t K, const int32_t* rows, const void* x, void* out, Element element) {
  move_rows<true>(queue, count, K * width_of(element), rows, x, out);
}

void scatter_rows(const Queue& queue, int64_t M, int64_t K, int64_t count, const int32_t* rows, const void* in, void* x, Element element) {
  cudaMemsetAsync(x, 0, static_cast<size_t>(M * K * width_of(element)), queue.stream);
  move_rows<false>(queue, count, K * width_of(element), rows, in, x);
}

}  // namespace fedlora::cuda
