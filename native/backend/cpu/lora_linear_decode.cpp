/// One row of activations against frozen weights, for generation. Every weight is read once: the roof is the machine's read bandwidth, so a
/// weight is multiplied where it is unpacked (kernels/generic/matvec.inl) instead of being laid out as a panel.
#include <algorithm>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

namespace {
constexpr int64_t call_rows = 32;  // rows of W a kernel call

/// Rows of a task: long runs, which the hardware prefetcher follows, and two for each thread, so that a late one is helped.
int64_t rows_of_task(int64_t rows, int threads) { return std::max(call_rows, (rows + 2 * threads - 1) / (2 * threads)); }

/// Rows of a weight, or of a factor A.
struct RowRange {
  size_t of;
  int64_t begin, end;
};

/// One pair, trained or frozen, and where its h lies.
struct DecodeFactors {
  WeightView A, B;
  int64_t h_at;
};
}  // namespace

CpuBackend::DecodeRow CpuBackend::decode_row(int64_t K, ConstActivation x, bool codes) {
  const int64_t order = codes ? kernels_.code_order_floats(K) : 0;
  slot(Slot::rows).reserve(1, static_cast<size_t>(K + order) * sizeof(float));
  float* ordered = slot(Slot::rows).get<float>();
  float* wide = ordered + order;
  const float* row = nullptr;
  typed([&]<class T>(const TypedKernels<T>&) { row = widen_row(kernels_, as<T>(x), wide, K); });
  if (codes) kernels_.order_for_codes(row, K, ordered);
  return {row, ordered};
}

void CpuBackend::lora_linear_decode(ConstActivation x, std::span<const LinearTarget> targets, std::span<const LoraPair> pairs) {
  const int64_t K = targets[0].W->K;
  const bool codes = std::any_of(targets.begin(), targets.end(), [](const LinearTarget& target) { return is_4bit(target.W->format); });
  const auto [row, ordered] = decode_row(K, x, codes);

  // h = s·A·x, f32, one after another: for each target that of the pair, then that of its frozen factors.
  std::vector<DecodeFactors> factors;
  int64_t ranks = 0;
  for (size_t t = 0; t < pairs.size(); ++t)
    for (const auto& [rank, A, B] : {FrozenPair{pairs[t].rank, pairs[t].A, pairs[t].B}, pairs[t].frozen}) {
      factors.push_back({view_of(A, rank, K, pairs[t].scaling), view_of(B, targets[t].W->N, rank, 1), ranks});
      ranks += rank;
    }
  slot(Slot::d_h).reserve(1, static_cast<size_t>(ranks) * sizeof(float));
  float* h = slot(Slot::d_h).get<float>();
  std::vector<RowRange> tasks;
  for (size_t f = 0; f < factors.size(); ++f)
    for (int64_t begin = 0; begin < factors[f].A.N; begin += call_rows)
      tasks.push_back({f, begin, std::min<int64_t>(begin + call_rows, factors[f].A.N)});
  pool_.run(static_cast<int64_t>(tasks.size()), [&](int64_t i, int) {
    const auto [f, begin, end] = tasks[static_cast<size_t>(i)];
    kernels_.matvec(factors[f].A, begin, end - begin, row, nullptr, h + factors[f].h_at + begin);
  });

  tasks.clear();
  for (size_t t = 0; t < targets.size(); ++t) {
    const int64_t rows = rows_of_task(targets[t].W->N, threads());
    for (int64_t begin = 0; begin < targets[t].W->N; begin += rows) tasks.push_back({t, begin, std::min(begin + rows, targets[t].W->N)});
  }
  pool_.run(static_cast<int64_t>(tasks.size()), [&](int64_t i, int) {
    const auto [t, task_begin, end] = tasks[static_cast<size_t>(i)];
    const LinearTarget& target = targets[t];
    const WeightView W = view_of(*target.W);
    for (int64_t begin = task_begin; begin < end; begin += call_rows) {
      const int64_t rows = std::min(call_rows, end - begin);
      float y[call_rows], update[call_rows];
      kernels_.matvec(W, begin, rows, row, ordered, y);
      for (size_t f = 2 * t; f < std::min(2 * t + 2, factors.size()); ++f) {
        if (factors[f].B.K == 0) continue;
        kernels_.matvec(factors[f].B, begin, rows, h + factors[f].h_at, nullptr, update);
        for (int64_t n = 0; n < rows; ++n) y[n] += update[n];
      }
      if (target.bias)
        for (int64_t n = 0; n < rows; ++n) y[n] += target.bias[begin + n];
      typed([&]<class T>(const TypedKernels<T>&) { round_row(kernels_, y, as<T>(target.y, begin), rows); });
    }
  });
}

void CpuBackend::head_logits_decode(ConstActivation x, const Matrix& head, const LogitShape& shape, float* logits) {
  const auto [row, ordered] = decode_row(head.K, x, is_4bit(head.format));
  const float scale = 1.0f / shape.divider;
  const int64_t words = std::min<int64_t>(1024, rows_of_task(head.N, threads()));
  pool_.run((head.N + words - 1) / words, [&](int64_t i, int) {
    const int64_t begin = i * words, count = std::min(words, head.N - begin);
    kernels_.matvec(view_of(head), begin, count, row, ordered, logits + begin);
    for (int64_t n = begin; n < begin + count; ++n) logits[n] *= scale;
    if (shape.bias != nullptr) of<float>(kernels_).add_row(shape.bias + begin, logits + begin, count);
    if (shape.soft_cap > 0) kernels_.soft_cap(count, shape.soft_cap, logits + begin);
  });
}

}  // namespace fedlora
