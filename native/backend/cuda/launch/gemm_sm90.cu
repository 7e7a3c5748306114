#include "backend/cuda/launch/gemm_sm90.h"

#include <algorithm>

#include "backend/cuda/device/gemm_sm90.cuh"
#include "backend/cuda/launch/tensor_map.h"

namespace fedlora::cuda {
namespace {

bool mappable(const void* base, int64_t stride) { return reinterpret_cast<uintptr_t>(base) % 16 == 0 && stride % 8 == 0; }

MappedProducts map_products(int64_t M, int64_t N, const ProductList& list, int columns) {
  MappedProducts mapped{};
  for (int i = 0; i < list.count; ++i) {
    const Product& one = list.items[i];
    mapped.left[i] = matrix_map(one.left, M, one.depth, one.left_stride, 128);
    mapped.right[i] = one.lies == Right::rows ? matrix_map(one.right, N, one.depth, one.right_stride, columns)
                                              : matrix_map(one.right, one.depth, N, one.right_stride, 64);
    mapped.depth[i] = static_cast<int>(one.depth);
  }
  mapped.count = list.count;
  return mapped;
}

int multiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return std::max(count, 1);
}

template <class Out, int Columns, Right lies>
void launch(const Queue& queue, int64_t M, int64_t N, const ProductList& list, const Finish& finish) {
  using Tile = GemmSm90<Columns>;
  const int64_t tiles = TileOrder{(M + Tile::rows - 1) / Tile::rows, (N + Tile::columns - 1) / Tile::columns}.count();
  const dim3 grid(static_cast<unsigned>(std::min<int64_t>(tiles, multiprocessors())));
  cudaFuncSetAttribute(gemm_sm90_kernel<Out, Columns, lies>, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::shared_bytes);
  FED_LAUNCH((gemm_sm90_kernel<Out, Columns, lies>), grid, dim3(Tile::threads), Tile::shared_bytes, queue.stream, M, N,
             map_products(M, N, list, Columns), finish);
}

}  // namespace

bool fits_sm90(const ProductList& list) {
  return std::all_of(list.items, list.items + list.count, [&](const Product& one) {
    return mappable(one.left, one.left_stride) && mappable(one.right, one.right_stride) && one.lies == list.items[0].lies;
  });
}

void gemm_sm90(const Queue& queue, Element output, int64_t M, int64_t N, const ProductList& list, const Finish& finish, int tile_columns) {
  by_element(output, [&](auto zero) {
    using Out = decltype(zero);
    const auto lying = [&]<int Columns>() {
      if (list.items[0].lies == Right::rows)
        launch<Out, Columns, Right::rows>(queue, M, N, list, finish);
      else
        launch<Out, Columns, Right::columns>(queue, M, N, list, finish);
    };
    if (tile_columns == 256)
      lying.template operator()<256>();
    else
      lying.template operator()<128>();
  });
}

}  // namespace fedlora::cuda
