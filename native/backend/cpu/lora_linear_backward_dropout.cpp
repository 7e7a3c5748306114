/// The parts of lora_linear's backward that dropout touches: d_A over a masked x, and the masked part of d_x. A block of rows is masked in
/// scratch memory and then multiplied like any other; the draws are those of forward (dropout.h).
#include "backend/cpu/dropout.h"
#include "backend/cpu/lora_linear_backward.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

/// d_A of one target with dropout: blocks of x are masked before they are multiplied, the factor 1 / (1 − p) comes last.
void LoraBackward::masked_gradient_A(const Task& task, size_t t, int64_t rank_at, void* extra) const {
  const size_t s = static_cast<size_t>(task.segment);
  const Segment& segment = segments_[s];
  const LoraPair& pair = segment.pairs[t];
  const int64_t rows = segment.row_end - segment.row_begin, width = task.end - task.begin;
  float* sums = static_cast<float*>(extra);
  uint8_t* masked = reinterpret_cast<uint8_t*>(sums + widest_rank_ * outer_columns);
  uint8_t* keep = masked + dropout_rows * outer_columns * 4;
  std::fill(sums, sums + pair.rank * width, 0.0f);
  for (int64_t begin = 0; begin < rows; begin += dropout_rows) {
    const int64_t count = std::min(dropout_rows, rows - begin);
    for (int64_t m = 0; m < count; ++m) {
      draw_kept(gemm_.kernels(), pair, (begin + m) * K_ + task.begin, width, keep);
      const int64_t at = (segment.row_begin + begin + m) * K_ + task.begin;
      if (gemm_.compute() == Compute::bf16)
        keep_elements(static_cast<const bf16*>(x_) + at, keep, width, reinterpret_cast<bf16*>(masked) + m * width);
      else
        keep_elements(static_cast<const float*>(x_) + at, keep, width, reinterpret_cast<float*>(masked) + m * width);
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
      outer(call);
    }
  }
  const float factor = kept_factor(pair);
  for (int64_t r = 0; r < pair.rank; ++r)
    for (int64_t k = 0; k < width; ++k) pair.d_A[r * K_ + task.begin + k] += factor * sums[r * width + k];
}

/// Adds drop'(d_h·A) of every target to the kept sums of a segment's rows, and writes them to d_x.
void LoraBackward::masked_input(const Task& task, size_t s, float* sum, void* workspace, void* extra) const {
  const Segment& segment = segments_[s];
  const int64_t width = task.end - task.begin;
  float* part = static_cast<float*>(extra);
  uint8_t* keep = reinterpret_cast<uint8_t*>(part + dropout_rows * shape_.panel_columns);
  for (size_t t = 0; t < targets_.size(); ++t) {
    const LoraPair& pair = segment.pairs[t];
    if (pair.rank == 0 || pair.dropout <= 0) continue;
    for (int64_t begin = segment.row_begin; begin < segment.row_end; begin += dropout_rows) {
      const int64_t rows = std::min(dropout_rows, segment.row_end - begin);
      const GemmTerm term{GemmTerm::columns, d_h_of(s, t) + (begin - segment.row_begin) * pair.rank * element_, pair.rank,
                          view_of(pair.A, pair.rank, K_, kept_factor(pair))};
      const GemmRows all{0, rows, {}, false};
      GemmProduct product;
      product.column_begin = task.begin;
      product.column_end = task.end;
      product.terms = {&term, 1};
      product.rows = {&all, 1};
      product.out = part;
      product.out_stride = width;
      gemm_.multiply(shape_, rows, product, workspace);
      for (int64_t m = 0; m < rows; ++m) {
        draw_kept(gemm_.kernels(), pair, (begin + m - segment.row_begin) * K_ + task.begin, width, keep);
        float* to = sum + (begin + m) * shape_.panel_columns;
        float* row = part + m * width;
        keep_elements(row, keep, width, row);
        for (int64_t k = 0; k < width; ++k) to[k] += row[k];
      }
    }
  }
  for (int64_t m = segment.row_begin; m < segment.row_end; ++m) {
    uint8_t* to = static_cast<uint8_t*>(d_x_) + (m * K_ + task.begin) * element_;
    const float* from = sum + m * shape_.panel_columns;
    if (gemm_.compute() == Compute::bf16)
      gemm_.kernels().round_bf16(from, reinterpret_cast<bf16*>(to), width);
    else
      std::memcpy(to, from, static_cast<size_t>(width) * 4);
  }
}

}  // namespace fedlora
