// Blocked product after Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication": b is packed in panels of
// tile_cols columns, a in panels of tile_rows rows, and a tile of c stays in registers over a block of k.
#include "factors/multiply.h"

#include <algorithm>
#include <cstring>

namespace fedlora::factors {

namespace {
constexpr int64_t block_depth = 256, block_rows = 64, block_cols = 768, line = 8;
constexpr int64_t few_blocks = 8, few_panels = 5;

int64_t panels(int64_t count, int64_t width) { return (count + width - 1) / width; }

// Packed panels stay for the thread's next product: fresh pages cost as much as a small product.
thread_local AlignedBuffer<double> right_panels, left_panels;

double* room(AlignedBuffer<double>& held, int64_t count) {
  if (static_cast<int64_t>(held.size()) < count) held = AlignedBuffer<double>(static_cast<size_t>(count));
  return held.data();
}

/// out[p][lane] = columns[lane][p], p in [first, behind); two columns at a time.
void pack_line(const double* columns, int64_t stride, int64_t count, int64_t first, int64_t behind, int64_t width, double* out) {
  int64_t lane = 0;
  for (; lane + 1 < count; lane += 2) {
    const double *x = columns + lane * stride, *y = x + stride;
    for (int64_t p = first; p < behind; ++p) {
      const double pair[2] = {x[p], y[p]};
      std::memcpy(out + p * width + lane, pair, sizeof pair);
    }
  }
  for (int64_t p = first; lane < count && p < behind; ++p) out[p * width + lane] = columns[lane * stride + p];
}

/// out[panel][p][lane] = x(p, panel · width + lane), zeros behind the last column; one panel.
void pack(ConstView x, int64_t panel, int64_t width, double* out) {
  const int64_t first = panel * width, count = std::min(width, x.cols - first);
  const double* from = x.data + first * x.col_stride;
  if (x.row_stride == 1 && count > 1) {
    for (int64_t p = 0; p < x.rows; p += line)  // a cache line of each column, once: their strides may share a set of the cache
      pack_line(from, x.col_stride, count, p, std::min(p + line, x.rows), width, out);
  } else if (x.col_stride == 1) {
    for (int64_t p = 0; p < x.rows; ++p) std::copy(from + p * x.row_stride, from + p * x.row_stride + count, out + p * width);
  } else {
    for (int64_t p = 0; p < x.rows; ++p)
      for (int64_t lane = 0; lane < count; ++lane) out[p * width + lane] = from[p * x.row_stride + lane * x.col_stride];
  }
  for (int64_t p = 0; count < width && p < x.rows; ++p) std::fill(out + p * width + count, out + (p + 1) * width, 0.0);
}

/// The tiles of one block of rows of c; a's block is packed into `left` first. Left of column `diagonal` + i nobody reads row i of c.
void block_product(const FactorKernels& kernels, double factor, ConstView a, int64_t depth, const double* right, View c, int64_t diagonal,
                   double* left) {
  const int64_t height = kernels.tile_rows, width = kernels.tile_cols;
  const int64_t tall = panels(c.rows, height), wide = panels(c.cols, width);
  for (int64_t i = 0; i < tall; ++i) pack(a.transposed(), i, height, left + i * height * depth);
  for (int64_t j = 0; j < wide; ++j)
    for (int64_t i = 0; i < tall && (j + 1) * width > diagonal + i * height; ++i) {
      const double *one = left + i * height * depth, *other = right + j * width * depth;
      const int64_t rows = std::min(height, c.rows - i * height), cols = std::min(width, c.cols - j * width);
      double* place = c.row(i * height) + j * width;
      if (rows == height && cols == width) {
        kernels.tile(depth, one, other, factor, place, c.row_stride);
        continue;
      }
      alignas(64) double edge[most_tile] = {};
      kernels.tile(depth, one, other, factor, edge, width);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t s = 0; s < cols; ++s) place[r * c.row_stride + s] += edge[r * width + s];
    }
}

/// `upper`: what lies below the diagonal of c, in whole tiles, is left out.
void blocked(double factor, ConstView a, ConstView b, View c, bool upper, ThreadPool* pool, const FactorKernels& kernels) {
  const int64_t width = kernels.tile_cols, deepest = std::min(block_depth, a.cols);
  const int64_t widest = std::min(block_cols, panels(c.cols, width) * width), tall = panels(c.rows, block_rows);
  // One task packs and uses a block of rows; where these are few, columns are shared out as well.
  const int64_t panels_a_task = tall < few_blocks ? few_panels : panels(block_cols, width);
  const int64_t members = pool ? pool->threads() : 1, share = panels(block_rows, kernels.tile_rows) * kernels.tile_rows * deepest;
  double* const right = room(right_panels, panels(widest, width) * width * deepest);
  double* const left = room(left_panels, members * share);
  for (int64_t col = 0; col < c.cols; col += block_cols) {
    const int64_t cols = std::min(block_cols, c.cols - col), wide = panels(cols, width);
    for (int64_t first = 0; first < a.cols; first += block_depth) {
      const int64_t depth = std::min(block_depth, a.cols - first);
      run_tasks(pool, wide,
                [&](int64_t panel, int) { pack(b.block(first, col, depth, cols), panel, width, right + panel * width * depth); });
      run_tasks(pool, tall * panels(wide, panels_a_task), [&](int64_t task, int member) {
        const int64_t row = task % tall * block_rows, rows = std::min(block_rows, c.rows - row);
        const int64_t lowest = task / tall * panels_a_task, behind = std::min((lowest + panels_a_task) * width, cols);
        const int64_t panel = upper ? std::max(lowest, (row - col) / width) : lowest, from = panel * width;
        if (from >= behind) return;
        block_product(kernels, factor, a.block(row, first, rows, depth), depth, right + from * depth,
                      c.block(row, col + from, rows, behind - from), upper ? row - col - from : -c.rows, left + member * share);
      });
    }
  }
}

void mirror(Matrix& x) {
  for (int64_t i = 0; i < x.rows(); ++i)
    for (int64_t j = 0; j < i; ++j) x(i, j) = x(j, i);
}
}  // namespace

void multiply_add(double factor, ConstView a, ConstView b, View c, ThreadPool* pool, const FactorKernels& kernels) {
  if (c.rows == 0 || c.cols == 0 || a.cols == 0) return;
  if (c.col_stride == 1) return blocked(factor, a, b, c, false, pool, kernels);
  blocked(factor, b.transposed(), a.transposed(), c.transposed(), false, pool, kernels);
}

void multiply_add_upper(double factor, ConstView a, ConstView b, View c, ThreadPool* pool) {
  if (c.rows > 0 && a.cols > 0) blocked(factor, a, b, c, true, pool, factor_kernels());
}

Matrix gram(ConstView x, ThreadPool* pool) {
  Matrix g(x.rows, x.rows);
  multiply_add_upper(1, x, x.transposed(), g.view(), pool);
  mirror(g);
  return g;
}

Matrix congruence(const Matrix& r, const Matrix& g, ThreadPool* pool) {
  constexpr int64_t width = 128;
  const int64_t n = r.rows();
  Matrix half(n, n), h(n, n);
  for (int64_t first = 0; first < n; first += width) {
    const int64_t rows = std::min(width, n - first), rest = n - first;
    multiply_add(1, r.view().block(first, first, rows, rest), g.view().block(first, 0, rest, n), half.view().block(first, 0, rows, n),
                 pool);
  }
  for (int64_t first = 0; first < n; first += width) {
    const int64_t cols = std::min(width, n - first), rest = n - first;
    multiply_add(1, half.view().block(0, first, first + cols, rest), r.view().block(first, first, cols, rest).transposed(),
                 h.view().block(0, first, first + cols, cols), pool);
  }
  mirror(h);
  return h;
}

Matrix product(ConstView a, ConstView b, ThreadPool* pool) {
  Matrix c(a.rows, b.cols);
  multiply_add(1, a, b, c.view(), pool);
  return c;
}

}  // namespace fedlora::factors
