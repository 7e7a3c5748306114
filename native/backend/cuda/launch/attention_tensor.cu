#include "backend/cuda/launch/attention_tensor.h"

#include "backend/cuda/device/attention_tensor_backward.cuh"
#include "backend/cuda/device/attention_tensor_forward.cuh"

namespace fedlora::cuda {

namespace {

/// body.operator()<Engine, Width>() for the device and the head_dim.
template <class Body>
void by_plan(const Queue& queue, int D, const Body& body) {
  const auto by_width = [&]<class Engine>() {
    if (D <= 64)
      body.template operator()<Engine, 64>();
    else if (D <= 96)
      body.template operator()<Engine, 96>();
    else if (D <= 128)
      body.template operator()<Engine, 128>();
    else
      body.template operator()<Engine, 256>();
  };
  if (queue.architecture == 90)
    by_width.template operator()<WarpgroupEngine>();
  else
    by_width.template operator()<WarpEngine>();
}

dim3 grid_of(int heads, int64_t tiles) { return dim3(static_cast<unsigned>(heads), static_cast<unsigned>(tiles)); }

/// The launch of a kernel with so much shared memory.
#define LAUNCH(kernel, grid, threads, shared, ...)                                   \
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared); \
  FED_LAUNCH(kernel, grid, dim3(threads), static_cast<size_t>(shared), queue.stream, __VA_ARGS__)

}  // namespace

bool fits_tensor_cores(const AttentionShape& shape, Element element) {
  return element == Element::bf16 && shape.head_dim % 8 == 0 && shape.scale > 0;
}

void attention_tensor_forward(const Queue& queue, const AttentionShape& shape, int64_t tile_count, const AttentionTile* tiles,
                              const void* q, const void* k, const void* v, void* o, float* lse) {
  by_plan(queue, shape.head_dim, [&]<class Engine, int Width>() {
    using Plan = AttentionPlan<Engine, Width>;
    LAUNCH((attention_tensor_forward_kernel<Engine, Width>), grid_of(shape.heads, tile_count), Plan::threads, Plan::forward_shared, shape,
           tiles, static_cast<const bf16*>(q), static_cast<const bf16*>(k), static_cast<const bf16*>(v), static_cast<bf16*>(o), lse);
  });
}

void attention_tensor_backward(const Queue& queue, const AttentionShape& shape, int64_t M, int64_t tile_count, const AttentionTile* tiles,
                               const void* q, const void* k, const void* v, const void* o, const float* lse, const void* d_o, void* d_q,
                               void* d_k, void* d_v, void* workspace) {
  auto* const terms = static_cast<RowTerms*>(workspace);
  KeyGradients gradients{static_cast<bf16*>(d_k),
                         static_cast<bf16*>(d_v),
                         nullptr,
                         nullptr,
                         attention_key_parts(shape.heads, shape.kv_heads),
                         M * shape.kv_heads * shape.head_dim};
  if (gradients.parts > 1) {
    gradients.part_k = reinterpret_cast<float*>(static_cast<char*>(workspace) + attention_row_terms_bytes(M, shape.heads));
    gradients.part_v = gradients.part_k + gradients.parts * gradients.count;
  }
  const auto numbers = [](const void* p) { return static_cast<const bf16*>(p); };
  const int64_t count = M * shape.heads;
  FED_LAUNCH(attention_row_terms_kernel, dim3(static_cast<unsigned>((count + attention_rows - 1) / attention_rows)),
             dim3(attention_threads), 0, queue.stream, count, shape.head_dim, numbers(o), numbers(d_o), lse, terms);
  by_plan(queue, shape.head_dim, [&]<class Engine, int Width>() {
    using Plan = AttentionPlan<Engine, Width>;
    LAUNCH((attention_tensor_d_q_kernel<Engine, Width>), grid_of(shape.heads, tile_count), Plan::threads, Plan::d_q_shared, shape, tiles,
           numbers(q), numbers(k), numbers(v), terms, numbers(d_o), static_cast<bf16*>(d_q));
    const auto by_keys = [&]<KeySide side>() {
      LAUNCH((attention_tensor_d_kv_kernel<Engine, Width, side>), grid_of(shape.kv_heads * gradients.parts, tile_count), Plan::threads,
             Plan::d_kv_shared, shape, tiles, numbers(q), numbers(k), numbers(v), terms, numbers(d_o), gradients);
    };
    if constexpr (Width <= 128) {
      by_keys.template operator()<KeySide::both>();
    } else {
      by_keys.template operator()<KeySide::keys>();
      by_keys.template operator()<KeySide::values>();
    }
  });
  if (gradients.parts == 1) return;
  const int64_t threads = gradients.count / 4;
  FED_LAUNCH(attention_join_parts_kernel, dim3(static_cast<unsigned>((threads + attention_threads - 1) / attention_threads), 2),
             dim3(attention_threads), 0, queue.stream, gradients);
}

}  // namespace fedlora::cuda
