/// Products with one weight and no adapter: logits of the head, and the gradient that comes back through it.
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

void CpuBackend::matmul_forward(int64_t M, ConstActivation x, const Matrix& W, float scale, float* out) {
  const Gemm gemm(kernels_, compute_);
  const GemmShape shape = gemm_shape(M);
  const GemmTerm term{GemmTerm::rows, x, W.K, view_of(W)};
  const GemmRows all{0, M, {}, false};
  slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(W.K), 0, false));
  const ColumnSplit split(W.N, shape.panel_columns, threads());
  pool_.run(M > 0 ? split.count() : 0, [&](int64_t i, int member) {
    GemmProduct product;
    product.column_begin = split.begin(i);
    product.column_end = split.end(i);
    product.terms = {&term, 1};
    product.rows = {&all, 1};
    product.scale = scale;
    product.out = out + split.begin(i);
    product.out_stride = W.N;
    gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
  });
}

void CpuBackend::matmul_blocks(int64_t M, ConstActivation x, const Matrix& W, int64_t block, float scale,
                               const std::function<void(int64_t index, int64_t begin, int64_t columns, const float* out)>& take) {
  const Gemm gemm(kernels_, compute_);
  const GemmShape shape = gemm_shape(M);
  const GemmTerm term{GemmTerm::rows, x, W.K, view_of(W)};
  const GemmRows all{0, M, {}, false};
  slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(W.K), 0, false));
  pool_.run(M > 0 ? (W.N + block - 1) / block : 0, [&](int64_t index, int member) {
    const int64_t begin = index * block, end = std::min(begin + block, W.N);
    float* out = slot(Slot::logits_block).get<float>(member);
    for (int64_t column = begin; column < end; column += shape.panel_columns) {
      GemmProduct product;
      product.column_begin = column;
      product.column_end = std::min(column + shape.panel_columns, end);
      product.terms = {&term, 1};
      product.rows = {&all, 1};
      product.scale = scale;
      product.out = out + (column - begin);
      product.out_stride = end - begin;
      gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
    }
    take(index, begin, end - begin, out);
  });
}

void CpuBackend::matmul_backward(int64_t M, ConstActivation d_y, int64_t d_y_stride, const Matrix& W, float scale,
                                 std::span<const float> scales, Activation d_x) {
  const Gemm gemm(kernels_, compute_);
  const GemmShape shape = gemm_shape(M);
  const GemmTerm term{GemmTerm::columns, d_y, d_y_stride, view_of(W)};
  std::vector<GemmRows> ranges;  // runs of equal scales
  for (int64_t m = 0; m < M; ++m) {
    const float own = scales[static_cast<size_t>(m)];
    if (ranges.empty() || ranges.back().scale != own) ranges.push_back({m, m, {}, false, own});
    ranges.back().end = m + 1;
  }
  slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(W.N), 0, false));
  const ColumnSplit split(W.K, shape.panel_columns, threads());
  pool_.run(M > 0 ? split.count() : 0, [&](int64_t i, int member) {
    GemmProduct product;
    product.column_begin = split.begin(i);
    product.column_end = split.end(i);
    product.terms = {&term, 1};
    product.rows = ranges;
    product.scale = scale;
    product.out = static_cast<uint8_t*>(d_x) + split.begin(i) * gemm.element_bytes();
    product.out_bf16 = compute_ == Compute::bf16;
    product.out_stride = W.K;
    gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
  });
}

void CpuBackend::head_logits(int64_t M, ConstActivation x, const Matrix& head, float divider, float* logits) {
  matmul_forward(M, x, head, 1.0f / divider, logits);
}

}  // namespace fedlora
