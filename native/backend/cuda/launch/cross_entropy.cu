#include "backend/cuda/launch/cross_entropy.h"

#include <algorithm>

#include "backend/cuda/device/cross_entropy.cuh"
#include "backend/cuda/launch/decode_weight.h"
#include "backend/cuda/launch/gemm.h"

namespace fedlora::cuda {

namespace {

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

/// Where the parts of a workspace begin. In bf16 the gradient of two chunks of logits is gathered before it is multiplied by the head: the
/// product of one alone would leave part of a large device idle. In f32 it lies over the logits.
struct Layout {
  int64_t rows, gradient_rows, logits, gradient, bytes;
  Layout(int64_t M, const DeviceMatrix& head, Element element, bool training, int64_t budget)
      : rows(cross_entropy_rows(M, head.N, budget)),
        gradient_rows(training && element == Element::bf16 ? std::min(M, 2 * rows) : rows),
        logits(aligned(decoded_bytes(head, element))),
        gradient(logits + aligned(rows * head.N * 4)),
        bytes(gradient + (training && element == Element::bf16 ? aligned(gradient_rows * head.N * 2) : 0)) {}
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

int64_t cross_entropy_rows(int64_t M, int64_t V, int64_t budget) {
  const int64_t room = budget / (4 * V);
  return std::max<int64_t>(1, std::min(M, room >= 128 ? room / 128 * 128 : room));  // whole tiles of gemm
}

size_t cross_entropy_workspace(int64_t M, const DeviceMatrix& head, Element element, bool training, int64_t budget) {
  return static_cast<size_t>(Layout(M, head, element, training, budget).bytes);
}

void linear_cross_entropy(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, const int32_t* targets,
                          const float* grad_scales, float* losses, uint8_t* correct, void* d_x, Element element, void* workspace,
                          int64_t budget) {
  const Layout layout(M, head, element, d_x != nullptr, budget);
  const int64_t V = head.N, K = head.K, row_bytes = K * width_of(element);
  const void* const W = decode_weight(queue, head, element, workspace);
  float* const logits = reinterpret_cast<float*>(at(workspace, layout.logits));
  char* const gathered = element == Element::f32 ? reinterpret_cast<char*>(logits) : at(workspace, layout.gradient);
  for (int64_t first = 0; first < M; first += layout.gradient_rows) {
    const int64_t end = std::min(M, first + layout.gradient_rows);
    for (int64_t row = first; row < end; row += layout.rows) {
      const int64_t rows = std::min(layout.rows, end - row);
      logits_of(queue, rows, at(x, row * row_bytes), head, W, divider, logits, element);
      by_element(element, [&](auto zero) {
        using T = decltype(zero);
        T* const gradient = d_x == nullptr ? nullptr : reinterpret_cast<T*>(gathered) + (row - first) * V;
        by_width(
            [&](auto width) {
              FED_LAUNCH((cross_entropy_kernel<width(), T>), dim3(static_cast<unsigned>(rows)), dim3(cross_entropy_threads),
                         cross_entropy_threads / 32 * sizeof(SoftmaxState), queue.stream, V, logits, targets + row,
                         grad_scales == nullptr ? nullptr : grad_scales + row, 1.0f / divider, losses + row,
                         correct == nullptr ? nullptr : correct + row, gradient);
            },
            V, logits, gradient);
      });
    }
    if (d_x == nullptr) continue;
    const Product product{gathered, V, W, K, V, Right::columns};
    gemm(queue, element, element, end - first, K, {&product, 1}, {at(d_x, first * row_bytes), K, 1, nullptr});
  }
}

size_t head_logits_workspace(const DeviceMatrix& head, Element element) { return static_cast<size_t>(decoded_bytes(head, element)); }

void head_logits(const Queue& queue, int64_t M, const void* x, const DeviceMatrix& head, float divider, float* logits, Element element,
                 void* workspace) {
  logits_of(queue, M, x, head, decode_weight(queue, head, element, workspace), divider, logits, element);
}

}  // namespace fedlora::cuda
