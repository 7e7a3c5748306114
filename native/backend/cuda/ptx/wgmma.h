/// wgmma (sm_90a): D[64,N] (+)= A[64,16]·Bᵀ, B [N,16], in bf16 by the four warps of a warpgroup; B, and A unless it is in registers, are
/// read from shared memory by descriptor. Asynchronous: fence, issue, commit, wait; in between the accumulators belong to the tensor cores.
///
/// Accumulator i of a thread: row 16·warp + lane/4 + 8·(i/2 % 2), column 8·(i/4) + 2·(lane % 4) + i % 2. A in registers: as of m16n8k16
/// (matrix.h), each warp its own 16 rows. PTX ISA, "Asynchronous warpgroup level matrix instructions".
#pragma once
#include "backend/cuda/ptx/shared_address.h"
#include "backend/cuda/ptx/wgmma_bodies.h"

namespace fedlora::cuda {

/// A tile of 128-byte rows (64 elements) with the 128-byte swizzle, beginning at a multiple of 1,024. `stride`: bytes from 8 rows to the
/// next 8 (1,024 in a dense tile). K fastest: the tile's rows are those of M or N, the next 16 of K are 32 bytes on, `leading` is ignored.
/// M or N fastest (Trans 1): its rows are those of K, the next 16 of K are 2,048 bytes on, `leading`: from 64 of M or N to the next 64.
DEV u64 descriptor(const void* tile, u32 leading, u32 stride) {
  return static_cast<u64>(shared_address(tile) >> 4 & 0x3fff) | static_cast<u64>(leading >> 4) << 16 | static_cast<u64>(stride >> 4) << 32 |
         u64{1} << 62;
}
/// The descriptor of what lies `bytes` further on.
DEV u64 advance(u64 descriptor, u32 bytes) { return descriptor + (bytes >> 4); }

#if !defined(__CUDACC__)
DEV void wgmma_fence() { emulator::wgmma_fence(); }
DEV void wgmma_commit() { emulator::wgmma_commit(); }
template <int N>
DEV void wgmma_wait() {
  emulator::wgmma_wait(N);
}
template <int N, int TransA, int TransB>
DEV void wgmma_ss(float (&d)[N / 2], u64 a, u64 b, int accumulate) {
  emulator::wgmma(d, N, a, nullptr, b, accumulate, TransA, TransB);
}
template <int N, int TransB>
DEV void wgmma_rs(float (&d)[N / 2], const u32 (&a)[4], u64 b, int accumulate) {
  emulator::wgmma(d, N, 0, a, b, accumulate, 0, TransB);
}
#elif !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// Before the first wgmma and whenever registers it uses were touched since.
DEV void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEV void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Until at most N batches are under way.
template <int N>
DEV void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
/// Both operands from shared memory. Trans 1: that operand's M or N runs fastest. accumulate 0: D is overwritten.
template <int N, int TransA, int TransB>
DEV void wgmma_ss(float (&d)[N / 2], u64 a, u64 b, int accumulate) {
  wgmma_ss_body<TransA, TransB>(d, a, b, accumulate);
}
/// A from registers.
template <int N, int TransB>
DEV void wgmma_rs(float (&d)[N / 2], const u32 (&a)[4], u64 b, int accumulate) {
  wgmma_rs_body<TransB>(d, a, b, accumulate);
}
#endif

}  // namespace fedlora::cuda
