#include "backend/cuda/launch/gemm.h"

#include "backend/cuda/device/gemm_f32.cuh"
#include "backend/cuda/device/gemm_sm80.cuh"
#include "backend/cuda/heuristics/gemm.h"
#include "backend/cuda/launch/gemm_sm90.h"

namespace fedlora::cuda {

namespace {

dim3 grid_of(int64_t M, int64_t N, int side) {
  return dim3(static_cast<unsigned>((N + side - 1) / side), static_cast<unsigned>((M + side - 1) / side));
}

template <class Out>
void gemm_sm80(const Queue& queue, int64_t M, int64_t N, const ProductList& list, const Finish& finish) {
  cudaFuncSetAttribute(gemm_sm80_kernel<Out>, cudaFuncAttributeMaxDynamicSharedMemorySize, GemmSm80::shared_bytes);
  FED_LAUNCH(gemm_sm80_kernel<Out>, grid_of(M, N, GemmSm80::side), dim3(GemmSm80::threads), GemmSm80::shared_bytes, queue.stream, M, N,
             list, finish);
}

}  // namespace

void gemm(const Queue& queue, Element element, Element output, int64_t M, int64_t N, std::span<const Product> products,
          const Finish& finish) {
  if (M == 0 || N == 0) return;
  ProductList list;
  for (const Product& product : products)
    if (product.depth > 0) list.items[list.count++] = product;
  if (element == Element::f32)
    FED_LAUNCH(gemm_f32_kernel, grid_of(M, N, GemmF32::side), dim3(GemmF32::threads), GemmF32::shared_bytes, queue.stream, M, N, list,
               finish);
  else if (queue.architecture == 90 && list.count > 0 && fits_sm90(list))
    gemm_sm90(queue, output, M, N, list, finish, gemm_sm90_columns(M, N));
  else
    by_element(output, [&](auto zero) { gemm_sm80<decltype(zero)>(queue, M, N, list, finish); });
}

}  // namespace fedlora::cuda
