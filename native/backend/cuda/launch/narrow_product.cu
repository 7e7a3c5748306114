#include "backend/cuda/launch/narrow_product.h"

#include "backend/cuda/device/narrow_product.cuh"
#include "backend/cuda/heuristics/slices.h"

namespace fedlora::cuda {

namespace {

unsigned blocks_of(int64_t count, int64_t each) { return static_cast<unsigned>((count + each - 1) / each); }

/// body.operator()<Columns>() with the columns of a tile.
template <class Body>
void by_columns(int64_t R, const Body& body) {
  if (R <= 16)
    body.template operator()<16>();
  else if (R <= 32)
    body.template operator()<32>();
  else
    body.template operator()<64>();
}

template <class Kernel>
void allow_shared(Kernel kernel, int bytes) {
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace

size_t narrow_partial_bytes(int64_t M, int64_t R, int64_t depth) { return static_cast<size_t>(slices_of(depth) * M * R) * sizeof(float); }

void narrow_product(const Queue& queue, int64_t M, int64_t R, int64_t depth, const void* left, int64_t left_stride, const void* right,
                    int64_t right_stride, float* partial) {
  const auto slices = static_cast<unsigned>(slices_of(depth));
  by_columns(R, [&]<int Columns>() {
    using Tile = NarrowProduct<Columns>;
    allow_shared(narrow_product_kernel<Columns>, Tile::shared_bytes);
    FED_LAUNCH(narrow_product_kernel<Columns>, dim3(blocks_of(R, Columns), blocks_of(M, Tile::rows), slices), dim3(Tile::threads),
               Tile::shared_bytes, queue.stream, M, R, depth, static_cast<int>(slice_of(depth)), static_cast<const bf16*>(left),
               left_stride, static_cast<const bf16*>(right), right_stride, partial);
  });
}

void narrow_row_sums(const Queue& queue, int64_t rows, int64_t slice_rows, int64_t P, int64_t Q, const void* left, int64_t left_stride,
                     const void* right, int64_t right_stride, float* partial) {
  const auto launch = [&]<bool Turned>(int64_t W, const void* wide, int64_t wide_stride, int64_t R, const void* narrow,
                                       int64_t narrow_stride) {
    by_columns(R, [&]<int Columns>() {
      using Tile = NarrowRowSum<Columns>;
      allow_shared(narrow_row_sum_kernel<Columns, Turned>, Tile::shared_bytes);
      FED_LAUNCH((narrow_row_sum_kernel<Columns, Turned>),
                 dim3(blocks_of(W, Tile::wide), blocks_of(R, Columns), blocks_of(rows, slice_rows)), dim3(Tile::threads),
                 Tile::shared_bytes, queue.stream, rows, W, R, slice_rows, static_cast<const bf16*>(wide), wide_stride,
                 static_cast<const bf16*>(narrow), narrow_stride, partial);
    });
  };
  if (P >= Q)
    launch.template operator()<false>(P, left, left_stride, Q, right, right_stride);
  else
    launch.template operator()<true>(Q, right, right_stride, P, left, left_stride);
}

}  // namespace fedlora::cuda
