/// Named barriers: __syncthreads of some of a block's warps.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

#if defined(__CUDACC__)
/// Barrier `id` (1 to 15) of `threads` threads, whole warps.
DEV void named_barrier(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
/// Counts among the `threads` of barrier `id`, and does not wait.
DEV void named_barrier_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
#else
DEV void named_barrier(int id, int threads) { emulator::sync_named(id, threads); }
DEV void named_barrier_arrive(int id, int threads) { emulator::arrive_named(id, threads); }
#endif

}  // namespace fedlora::cuda
