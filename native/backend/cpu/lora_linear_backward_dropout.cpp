/// The parts of lora_linear's backward that dropout touches: d_A over a masked x, and the masked part of d_x. A block of rows is masked in
/// scratch memory and then multiplied like any other; the draws are those of forward (dropout.h).
#include "backend/cpu/dropout.h"
#include "backend/cpu/lora_linear_backward.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

/// d_A of one target with dropout: blocks of x are masked before they are multiplied, the factor 1 / (1 − p) comes last.
template <class T>
void LoraBackward<T>::masked_gradient_A(const Task& task, size_t t, int64_t rank_at, void* extra) const {
  const size_t s = static_cast<size_t>(task.segment);
  const Segment& segment = segments_[s];
  const LoraPair& pair = segment.pairs[t];
  const int64_t rows = segment.row_end - segment.row_begin, width = task.end - task.begin;
  float* sums = static_cast<float*>(extra);
  T* masked = reinterpret_cast<T*>(sums + widest_rank_ * outer_columns);
  uint8_t* keep = reinterpret_cast<uint8_t*>(masked + dropout_rows * outer_columns);
  std::fill(sums, sums + pair.rank * width, 0.0f);
  for (int64_t begin = 0; begin < rows; begin += dropout_rows) {
    const int64_t count = std::min(dropout_rows, rows - begin);
    for (int64_t m = 0; m < count; ++m) {
      draw_kept(gemm_.table(), pair, (begin + m) * K_ + task.begin, width, keep);
      keep_elements(x_ + (segment.row_begin + begin + m) * K_ + task.begin, keep, width, masked + m * width);
    }
    float* out[max_ranks];
    for (int64_t from = 0; from < pair.rank; from += max_ranks) {
      OuterCall call;
      call.rank = std::min<int64_t>(max_ranks, pair.rank - from);
      for (int64_t r = 0; r < call.rank; ++r) out[r] = sums + (from + r) * width;
      call.rows = count;
      call.columns = width;
      call.left = left_ + left_d_h_[s] + gemm_.steps(begin) * left_stride_[s] + rank_at + from;
      call.left_stride = left_stride_[s];
      call.right = masked;
      call.right_stride = width;
      call.out = out;
      gemm_.kernels().outer(call);
    }
  }
  const float factor = kept_factor(pair);
  for (int64_t r = 0; r < pair.rank; ++r)
    for (int64_t k = 0; k < width; ++k) pair.d_A[r * K_ + task.begin + k] += factor * sums[r * width + k];
}

/// Adds drop'(d_h·A) of every target to the kept sums of a segment's rows, and writes them to d_x.
template <class T>
void LoraBackward<T>::masked_input(const Task& task, size_t s, float* sum, void* workspace, void* extra) const {
  const Segment& segment = segments_[s];
  const int64_t width = task.end - task.begin;
  float* part = static_cast<float*>(extra);
  uint8_t* keep = reinterpret_cast<uint8_t*>(part + dropout_rows * shape_.panel_columns);
  for (size_t t = 0; t < targets_.size(); ++t) {
    const LoraPair& pair = segment.pairs[t];
    if (pair.rank == 0 || pair.dropout <= 0) continue;
    for (int64_t begin = segment.row_begin; begin < segment.row_end; begin += dropout_rows) {
      const int64_t rows = std::min(dropout_rows, segment.row_end - begin);
      const GemmTerm<T> term{GemmTerm<T>::columns, d_h_of(s, t) + (begin - segment.row_begin) * pair.rank, pair.rank,
                             view_of(pair.A, pair.rank, K_, kept_factor(pair))};
      const GemmRows<T> all{0, rows, {}, false};
      GemmProduct<T> product;
      product.column_begin = task.begin;
      product.column_end = task.end;
      product.terms = {&term, 1};
      product.rows = {&all, 1};
      product.write(part, width);
      gemm_.multiply(shape_, rows, product, workspace);
      for (int64_t m = 0; m < rows; ++m) {
        draw_kept(gemm_.table(), pair, (begin + m - segment.row_begin) * K_ + task.begin, width, keep);
        float* to = sum + (begin + m) * shape_.panel_columns;
        float* row = part + m * width;
        keep_elements(row, keep, width, row);
        for (int64_t k = 0; k < width; ++k) to[k] += row[k];
      }
    }
  }
  for (int64_t m = segment.row_begin; m < segment.row_end; ++m)
    round_row(gemm_.table(), sum + m * shape_.panel_columns, d_x_ + m * K_ + task.begin, width);
}

#define LORA_BACKWARD(T)                                                                       \
  template void LoraBackward<T>::masked_gradient_A(const Task&, size_t, int64_t, void*) const; \
  template void LoraBackward<T>::masked_input(const Task&, size_t, float*, void*, void*) const;
LORA_BACKWARD(float)
LORA_BACKWARD(bf16)
#undef LORA_BACKWARD

}  // namespace fedlora
