/// Head and loss. For some rows at a time: logits by blocks of the vocabulary, each turned at once into exponentials of the compute type
/// (kernels/generic/cross_entropy.inl), so that neither the logits of a row nor a second copy of the gradient is ever held; then the row's
/// sum, its loss, and the exponentials scaled into the gradient; then back through the head. Blocks are fixed, so a row's result depends
/// neither on its chunk nor on threads. The head is unpacked twice a chunk, so a chunk should not be small.
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"

namespace fedlora {

namespace {
constexpr int64_t vocabulary_block = 128;               // words whose logits are at hand together
constexpr int64_t gradient_budget = int64_t{32} << 20;  // bytes that the gradient of a chunk may fill …
constexpr int64_t fewest_rows = 256;                    // … but so many rows it has in any case
constexpr int64_t row_padding = 32;                     // elements: rows of a power of two apart would share the cache's sets

template <class T>
T rounded(float x) {
  if constexpr (sizeof(T) == 4)
    return x;
  else
    return to_bf16(x);
}

int64_t blocks_of(int64_t V) { return (V + vocabulary_block - 1) / vocabulary_block; }
int64_t row_stride(int64_t V) { return (V + row_padding - 1) / row_padding * row_padding + row_padding; }

int64_t rows_at_once(Compute compute, int64_t M, int64_t V) {
  const int64_t most = std::max(gradient_budget / (V * activation_width(compute)), fewest_rows);
  const int64_t chunks = std::max<int64_t>(1, (M + most - 1) / most);
  return std::max<int64_t>(1, (M + chunks - 1) / chunks);
}

/// The memory of a chunk; `gradient` comes first and is left out in evaluation.
struct Chunk {
  int64_t rows, blocks;
  size_t gradient_bytes, bytes;
  Chunk(Compute compute, int64_t M, int64_t V, bool training)
      : rows(rows_at_once(compute, M, V)),
        blocks(blocks_of(V)),
        gradient_bytes(training ? static_cast<size_t>(rows * row_stride(V) * activation_width(compute)) : 0),
        bytes(gradient_bytes + static_cast<size_t>(rows * (8 * blocks + 5))) {}
};
}  // namespace

size_t linear_cross_entropy_bytes(Compute compute, int64_t M, int64_t V) { return Chunk(compute, M, V, true).bytes; }

void CpuBackend::linear_cross_entropy(int64_t M, ConstActivation x, const Matrix& head, const LogitShape& shape,
                                      std::span<const int32_t> targets, std::span<const float> grad_scales, float* losses, uint8_t* correct,
                                      Activation d_x) {
  const int64_t V = head.N, K = head.K, stride = row_stride(V);
  const Chunk chunk(compute_, M, V, d_x != nullptr);
  Scratch& memory = slot(Slot::logits);
  memory.reserve(1, chunk.bytes);
  float* top = reinterpret_cast<float*>(memory.get<uint8_t>() + chunk.gradient_bytes);  // [rows, blocks]
  float* sum = top + chunk.rows * chunk.blocks;                                         // [rows, blocks]
  float* chosen = sum + chunk.rows * chunk.blocks;                                      // [rows] the target's logit
  uint8_t* leads = reinterpret_cast<uint8_t*>(chosen + chunk.rows);                     // [rows] nothing before it in its block is equal
  slot(Slot::logits_block).reserve(threads(), static_cast<size_t>(chunk.rows * vocabulary_block * 4));
  const float scale = 1.0f / shape.divider, cap = shape.soft_cap;

  typed([&]<class T>(const TypedKernels<T>& kernels) {
    T* gradient = d_x ? memory.get<T>() : nullptr;  // [rows, stride]
    for (int64_t first = 0; first < M; first += chunk.rows) {
      const int64_t rows = std::min(chunk.rows, M - first);
      const int32_t* target = targets.data() + first;
      const auto take = [&](int64_t block, int64_t begin, int64_t columns, float* logits) {
        if (shape.bias != nullptr)
          for (int64_t m = 0; m < rows; ++m) of<float>(kernels_).add_row(shape.bias + begin, logits + m * columns, columns);
        if (cap > 0) kernels_.soft_cap(rows * columns, cap, logits);
        kernels.softmax_block(rows, columns, logits, as<T>(gradient, begin), stride, top + block, sum + block, chunk.blocks);
        for (int64_t m = 0; m < rows; ++m) {
          const int64_t at = target[m] - begin;
          if (at < 0 || at >= columns) continue;
          const float* row = logits + m * columns;
          chosen[m] = row[at];
          leads[m] = std::find(row, row + at, row[at]) == row + at;
        }
        if (cap > 0 && gradient != nullptr) kernels.soft_cap_slope(rows, columns, cap, logits, gradient + begin, stride);
      };
      matmul_blocks(rows, as<T>(x, first * K), head, vocabulary_block, scale, take);

      pool_.run(rows, [&](int64_t m, int) {
        float* row_top = top + m * chunk.blocks;
        const int64_t own = target[m] / vocabulary_block;
        const bool ahead = leads[m] && std::all_of(row_top, row_top + own, [&](float other) { return other != chosen[m]; });
        float total;
        const float most = kernels_.softmax_join(chunk.blocks, row_top, sum + m * chunk.blocks, &total);
        losses[first + m] = (most - chosen[m]) + std::log(total);
        if (correct) correct[first + m] = chosen[m] == most && ahead;
        if (d_x == nullptr) return;
        const float capped = cap > 0 ? chosen[m] / cap : 0, slope = 1.0f - capped * capped;
        const float at_target = (std::exp(chosen[m] - most) / total - 1.0f) * slope;
        T* row = gradient + m * stride;
        kernels.softmax_scale(V, vocabulary_block, row_top, row);
        row[target[m]] = rounded<T>(at_target);
      });
      if (d_x == nullptr) continue;
      matmul_backward<T>(rows, gradient, stride, head, scale, grad_scales.subspan(static_cast<size_t>(first), static_cast<size_t>(rows)),
                         as<T>(d_x, first * K));
    }
  });
}

}  // namespace fedlora
