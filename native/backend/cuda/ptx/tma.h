/// The tensor memory accelerator (sm_90): boxes of tensors by one thread's word. A `TensorMap` is encoded on the host (launch/) and passed
/// as `const __grid_constant__ TensorMap`. Outside the tensor a load gives zeros, and the bytes counted are those of the whole box. A
/// kernel that uses it is guarded: below sm_90 these functions do not exist.
#pragma once
#include <cuda.h>

#include "backend/cuda/ptx/shared_address.h"

namespace fedlora::cuda {

using TensorMap = CUtensorMap;

#if !defined(__CUDACC__)
DEV void tma_load_2d(void* to, const TensorMap* map, u64* barrier, int x, int y) {
  const int at[] = {x, y};
  emulator::tma_load(to, map, barrier, at, 2);
}
DEV void tma_load_3d(void* to, const TensorMap* map, u64* barrier, int x, int y, int z) {
  const int at[] = {x, y, z};
  emulator::tma_load(to, map, barrier, at, 3);
}
DEV void tma_prefetch(const TensorMap*) {}
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
/// The box at column x, row y arrives at `to` (aligned to 1,024 with the 128-byte swizzle, to 128 without), its bytes at `barrier`.
DEV void tma_load_2d(void* to, const TensorMap* map, u64* barrier, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
               :
               : "r"(shared_address(to)), "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
               : "memory");
}
DEV void tma_load_3d(void* to, const TensorMap* map, u64* barrier, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
               :
               : "r"(shared_address(to)), "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
               : "memory");
}
/// The map itself is fetched before it is needed.
DEV void tma_prefetch(const TensorMap* map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }
#endif

}  // namespace fedlora::cuda
