/// Head and loss over rows in chunks: logits of a chunk, softmax and its gradient row by row, back through the head. A row's result does
/// not depend on its chunk. A chunk holds linear_cross_entropy_rows(): the head is unpacked once a chunk, so a chunk should not be small.
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

namespace {
constexpr int64_t logits_budget = int64_t{32} << 20;  // bytes of f32 logits that a chunk may fill …
constexpr int64_t fewest_rows = 128;                  // … but so many rows it has in any case
}  // namespace

int64_t linear_cross_entropy_rows(int64_t M, int64_t V) {
  const int64_t most = std::max(logits_budget / (V * 4), fewest_rows), chunks = std::max<int64_t>(1, (M + most - 1) / most);
  return std::max<int64_t>(1, (M + chunks - 1) / chunks);
}

void CpuBackend::linear_cross_entropy(int64_t M, ConstActivation x, const Matrix& head, float divider, std::span<const int32_t> targets,
                                      std::span<const float> grad_scales, float* losses, uint8_t* correct, Activation d_x) {
  const int64_t V = head.N, K = head.K, chunk = linear_cross_entropy_rows(M, V);
  const bool f32 = compute_ == Compute::f32;
  Scratch& memory = slot(Slot::logits);
  const int64_t logits_bytes = chunk * V * 4,
                gradient_bytes = !f32 && d_x ? chunk * V * 2 : 0;  // f32: the gradient takes the logits' place
  memory.reserve(1, static_cast<size_t>(logits_bytes + gradient_bytes));
  float* logits = memory.get<float>();
  bf16* gradient = reinterpret_cast<bf16*>(memory.get<char>() + logits_bytes);
  const float scale = 1.0f / divider;
  for (int64_t first = 0; first < M; first += chunk) {
    const int64_t rows = std::min(chunk, M - first);
    const ConstActivation x_chunk = f32 ? static_cast<ConstActivation>(as<float>(x, first * K)) : as<bf16>(x, first * K);
    matmul_forward(rows, x_chunk, head, 0, V, scale, logits, V);
    pool_.run(rows, [&](int64_t row, int) {
      const int64_t m = first + row;
      uint8_t* hit = correct ? correct + m : nullptr;
      if (f32)
        kernels_.cross_entropy_row_f32(V, logits + row * V, targets[m], losses + m, hit, d_x ? logits + row * V : nullptr);
      else
        kernels_.cross_entropy_row_bf16(V, logits + row * V, targets[m], losses + m, hit, d_x ? gradient + row * V : nullptr);
    });
    if (d_x == nullptr) continue;
    const std::span<const float> scales = grad_scales.subspan(static_cast<size_t>(first), static_cast<size_t>(rows));
    if (f32)
      matmul_backward(rows, logits, head, scale, scales, as<float>(d_x, first * K));
    else
      matmul_backward(rows, gradient, head, scale, scales, as<bf16>(d_x, first * K));
  }
}

}  // namespace fedlora
