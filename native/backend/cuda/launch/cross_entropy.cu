#include "backend/cuda/launch/cross_entropy.h"

#include <algorithm>

#include "backend/cuda/device/cross_entropy.cuh"
#include "backend/cuda/launch/decode_weight.h"
#include "backend/cuda/launch/gemm.h"

namespace fedlora::cuda {

namespace {

constexpr int64_t logits_budget = int64_t{256} << 20;

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

/// Where the parts of a workspace begin.
struct Layout {
  int64_t rows, logits, gradient, bytes;
  Layout(int64_t M, const DeviceMatrix& head, Element element, bool training)
      : rows(cross_entropy_rows(M, head.N)),
        logits(aligned(decoded_bytes(head, element))),
        gradient(logits + aligned(rows * head.N * 4)),
        bytes(gradient + (training && element == Element::bf16 ? aligned(rows * head.N * 2) : 0)) {}
};

const char* at(const void* base, int64_t bytes) { return static_cast<const char*>(base) + bytes; }
char* at(void* base, int64_t bytes) { return static_cast<char*>(base) + bytes; }

/// logits [rows,V] = x·Wᵀ / divider.
void logits_of(const Queue& queue, int64_t rows, const void* x, const DeviceMatrix& head, const void* W, float divider, float* logits,
               Element element) {
  const Product product{x, head.K, W, head.K, head.K, Right::rows};
  gemm(queue, element, Element::f32, rows, head.N, {&product, 1}, {logits, head.N, 1.0f / divider, nullptr});
}

}  // namespace

int64_t cross_entropy_rows(int64_t M, int64_t V) { return std::max<int64_t>(1, std::min(M, logits_budget / (4 * V))); }

size_t cross_entropy_workspace(int64_t M, const DeviceMatrix& head, Element element, bool training) {
  return static_cast<size_t>(Layout(M, head, element, training).bytes);
}

void linear_cross_entropy(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, const int32_t* targets,
                          const float* grad_scales, float* losses, uint8_t* correct, void* d_x, Element element, void* workspace) {
  const Layout layout(M, head, element, d_x != nullptr);
  const int64_t V = head.N, K = head.K, row_bytes = K * width_of(element);
  const void* const W = decode_weight(queue, head, element, workspace);
  float* const logits = reinterpret_cast<float*>(at(workspace, layout.logits));
  void* const gradient = d_x == nullptr ? nullptr : element == Element::f32 ? logits : static_cast<void*>(at(workspace, layout.gradient));
  for (int64_t first = 0; first < M; first += layout.rows) {
    const int64_t rows = std::min(layout.rows, M - first);
    logits_of(queue, rows, at(x, first * row_bytes), head, W, divider, logits, element);
    by_element(element, [&](auto zero) {
      using T = decltype(zero);
      FED_LAUNCH(cross_entropy_kernel<T>, dim3(static_cast<unsigned>(rows)), dim3(cross_entropy_threads),
                 cross_entropy_threads / 32 * sizeof(SoftmaxState), queue.stream, V, logits, targets + first,
                 grad_scales == nullptr ? nullptr : grad_scales + first, 1.0f / divider, losses + first,
                 correct == nullptr ? nullptr : correct + first, static_cast<T*>(gradient));
    });
    if (d_x == nullptr) continue;
    const Product product{gradient, V, W, K, V, Right::columns};
    gemm(queue, element, element, rows, K, {&product, 1}, {at(d_x, first * row_bytes), K, 1, nullptr});
  }
}

size_t head_logits_workspace(const DeviceMatrix& head, Element element) { return static_cast<size_t>(decoded_bytes(head, element)); }

void head_logits(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, float* logits, Element element,
                 void* workspace) {
  logits_of(queue, M, x, head, decode_weight(queue, head, element, workspace), divider, logits, element);
}

}  // namespace fedlora::cuda
