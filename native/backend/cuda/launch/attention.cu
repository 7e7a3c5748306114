#include "backend/cuda/launch/attention.h"

#include "backend/cuda/device/attention_backward.cuh"
#include "backend/cuda/device/attention_forward.cuh"
#include "backend/cuda/launch/attention_tensor.h"

namespace fedlora::cuda {

namespace {

template <class Kernel>
void allow_shared(Kernel kernel, size_t bytes) {
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

dim3 grid_of(int64_t tiles, int heads) { return dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(heads)); }

}  // namespace

int attention_tile_rows(const Queue& queue, const AttentionShape& shape, Element element) {
  return fits_tensor_cores(shape, element) ? attention_tensor_rows(queue.architecture == 90) : attention_rows;
}

void attention_forward(const Queue& queue, const AttentionShape& shape, int64_t tile_count, const AttentionTile* tiles, const void* q,
                       const void* k, const void* v, void* o, float* lse, Element element) {
  if (tile_count == 0) return;
  if (fits_tensor_cores(shape, element)) return attention_tensor_forward(queue, shape, tile_count, tiles, q, k, v, o, lse);
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    const size_t shared = attention_forward_shared(shape.head_dim);
    allow_shared(attention_forward_kernel<T>, shared);
    FED_LAUNCH((attention_forward_kernel<T>), grid_of(tile_count, shape.heads), dim3(attention_threads), shared, queue.stream, shape, tiles,
               static_cast<const T*>(q), static_cast<const T*>(k), static_cast<const T*>(v), static_cast<T*>(o), lse);
  });
}

size_t attention_row_terms_bytes(int64_t M, int heads) { return (static_cast<size_t>(M * heads) * sizeof(float2) + 255) / 256 * 256; }

size_t attention_backward_workspace(int64_t M, const AttentionShape& shape, Element element) {
  const size_t terms = attention_row_terms_bytes(M, shape.heads);
  const int parts = attention_key_parts(shape.heads, shape.kv_heads);
  if (!fits_tensor_cores(shape, element) || parts == 1) return terms;
  return terms + static_cast<size_t>(2 * parts * M * shape.kv_heads * shape.head_dim) * sizeof(float);
}

void attention_backward(const Queue& queue, const AttentionShape& shape, int64_t M, int64_t tile_count, const AttentionTile* tiles,
                        const void* q, const void* k, const void* v, const void* o, const float* lse, const void* d_o, void* d_q, void* d_k,
                        void* d_v, Element element, void* workspace) {
  if (tile_count == 0) return;
  if (fits_tensor_cores(shape, element))
    return attention_tensor_backward(queue, shape, M, tile_count, tiles, q, k, v, o, lse, d_o, d_q, d_k, d_v, workspace);
  by_element(element, [&](auto zero) {
    using T = decltype(zero);
    auto* delta = static_cast<float*>(workspace);
    const int64_t count = M * shape.heads;
    const size_t shared = attention_backward_shared(shape.head_dim);
    allow_shared(attention_d_q_kernel<T>, shared);
    allow_shared(attention_d_kv_kernel<T>, shared);
    const dim3 rows(static_cast<unsigned>((count + attention_rows - 1) / attention_rows)), block(attention_threads);
    FED_LAUNCH((attention_delta_kernel<T>), rows, block, 0, queue.stream, count, shape.head_dim, static_cast<const T*>(o),
               static_cast<const T*>(d_o), delta);
    FED_LAUNCH((attention_d_q_kernel<T>), grid_of(tile_count, shape.heads), block, shared, queue.stream, shape, tiles,
               static_cast<const T*>(q), static_cast<const T*>(k), static_cast<const T*>(v), lse, delta, static_cast<const T*>(d_o),
               static_cast<T*>(d_q));
    FED_LAUNCH((attention_d_kv_kernel<T>), grid_of(tile_count, shape.kv_heads), block, shared, queue.stream, shape, tiles,
               static_cast<const T*>(q), static_cast<const T*>(k), static_cast<const T*>(v), lse, delta, static_cast<const T*>(d_o),
               static_cast<T*>(d_k), static_cast<T*>(d_v));
  });
}

void attention_decode(const Queue& queue, const AttentionShape& shape, int64_t T, const void* q, const void* keys, const void* values,
                      void* o, Element element) {
  by_element(element, [&](auto zero) {
    using Number = decltype(zero);
    FED_LAUNCH((attention_decode_kernel<Number>), dim3(static_cast<unsigned>(shape.heads)), dim3(attention_threads),
               attention_decode_shared(shape.head_dim), queue.stream, shape, T, static_cast<const Number*>(q),
               static_cast<const Number*>(keys), static_cast<const Number*>(values), static_cast<Number*>(o));
  });
}

}  // namespace fedlora::cuda
