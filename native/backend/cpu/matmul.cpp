/// Products with one weight and no adapter: logits of the head, and the gradient that comes back through it.
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/weight_view.h"

namespace fedlora {

void CpuBackend::matmul_forward(int64_t M, ConstActivation x, const Matrix& W, float scale, float* out) {
  typed([&]<class T>(const TypedKernels<T>&) {
    const Gemm<T> gemm(kernels_);
    const GemmShape shape = gemm_shape(M);
    const GemmTerm<T> term{GemmTerm<T>::rows, as<T>(x), W.K, view_of(W)};
    const GemmRows<T> all{0, M, {}, false};
    slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(W.K), 0, false));
    const ColumnSplit split(W.N, shape.panel_columns, threads());
    pool_.run(M > 0 ? split.count() : 0, [&](int64_t i, int member) {
      GemmProduct<T> product;
      product.column_begin = split.begin(i);
      product.column_end = split.end(i);
      product.terms = {&term, 1};
      product.rows = {&all, 1};
      product.scale = scale;
      product.write(out + split.begin(i), W.N);
      gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
    });
  });
}

template <class T>
void CpuBackend::matmul_blocks(int64_t M, const T* x, const Matrix& W, int64_t block, float scale,
                               const std::function<void(int64_t index, int64_t begin, int64_t columns, float* out)>& take) {
  const Gemm<T> gemm(kernels_);
  const GemmShape shape = gemm_shape(M);
  const GemmTerm<T> term{GemmTerm<T>::rows, x, W.K, view_of(W)};
  const GemmRows<T> all{0, M, {}, false};
  slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(W.K), 0, false));
  pool_.run(M > 0 ? (W.N + block - 1) / block : 0, [&](int64_t index, int member) {
    const int64_t begin = index * block, end = std::min(begin + block, W.N);
    float* out = slot(Slot::logits_block).get<float>(member);
    for (int64_t column = begin; column < end; column += shape.panel_columns) {
      GemmProduct<T> product;
      product.column_begin = column;
      product.column_end = std::min(column + shape.panel_columns, end);
      product.terms = {&term, 1};
      product.rows = {&all, 1};
      product.scale = scale;
      product.write(out + (column - begin), end - begin);
      gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
    }
    take(index, begin, end - begin, out);
  });
}

template <class T>
void CpuBackend::matmul_backward(int64_t M, const T* d_y, int64_t d_y_stride, const Matrix& W, float scale, std::span<const float> scales,
                                 T* d_x) {
  const Gemm<T> gemm(kernels_);
  const GemmShape shape = gemm_shape(M);
  const GemmTerm<T> term{GemmTerm<T>::columns, d_y, d_y_stride, view_of(W)};
  std::vector<GemmRows<T>> ranges;  // runs of equal scales
  for (int64_t m = 0; m < M; ++m) {
    const float own = scales[static_cast<size_t>(m)];
    if (ranges.empty() || ranges.back().scale != own) ranges.push_back({m, m, {}, false, own});
    ranges.back().end = m + 1;
  }
  slot(Slot::panel).reserve(threads(), gemm.workspace_bytes(shape, M, gemm.steps(W.N), 0, false));
  const ColumnSplit split(W.K, shape.panel_columns, threads());
  pool_.run(M > 0 ? split.count() : 0, [&](int64_t i, int member) {
    GemmProduct<T> product;
    product.column_begin = split.begin(i);
    product.column_end = split.end(i);
    product.terms = {&term, 1};
    product.rows = ranges;
    product.scale = scale;
    product.write(d_x + split.begin(i), W.K);
    gemm.multiply(shape, M, product, slot(Slot::panel).get<void>(member));
  });
}

#define MATMUL(T)                                                                                         \
  template void CpuBackend::matmul_blocks(int64_t, const T*, const Matrix&, int64_t, float,               \
                                          const std::function<void(int64_t, int64_t, int64_t, float*)>&); \
  template void CpuBackend::matmul_backward(int64_t, const T*, int64_t, const Matrix&, float, std::span<const float>, T*);
MATMUL(float)
MATMUL(bf16)
#undef MATMUL

void CpuBackend::head_logits(int64_t M, ConstActivation x, const Matrix& head, const LogitShape& shape, float* logits) {
  matmul_forward(M, x, head, 1.0f / shape.divider, logits);
  if (shape.bias != nullptr)
    each_rows(pool_, M, head.N, [&](int64_t first, int64_t count) {
      for (int64_t m = first; m < first + count; ++m) of<float>(kernels_).add_row(shape.bias, logits + m * head.N, head.N);
    });
  if (shape.soft_cap > 0)
    each_rows(pool_, M, head.N,
              [&](int64_t first, int64_t count) { kernels_.soft_cap(count * head.N, shape.soft_cap, logits + first * head.N); });
}

}  // namespace fedlora
