/// mbarrier (as sm_90 has it): a barrier in shared memory whose phase ends when every arrival and every announced byte has come.
/// A kernel that uses it is guarded: below sm_90 these functions do not exist.
#pragma once
#include "backend/cuda/ptx/shared_address.h"

namespace fedlora::cuda {

#if !defined(__CUDACC__)
DEV void barrier_init(u64* barrier, u32 count) { emulator::barrier_init(barrier, count); }
DEV void fence_barrier_init() {}
DEV void barrier_arrive(u64* barrier) { emulator::barrier_arrive(barrier, 0); }
DEV void barrier_arrive_expect(u64* barrier, u32 bytes) { emulator::barrier_arrive(barrier, bytes); }
DEV void barrier_wait(u64* barrier, u32 parity) { emulator::barrier_wait(barrier, parity); }
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
/// A phase ends with `count` arrivals.
DEV void barrier_init(u64* barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
/// By the thread that made the barriers, after it and before __syncthreads: the copy engine sees them.
DEV void fence_barrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEV void barrier_arrive(u64* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
/// One arrival, and `bytes` more to wait for.
DEV void barrier_arrive_expect(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
/// Until the phase of this parity has ended: on a fresh barrier 0 waits for the first phase, 1 passes at once.
DEV void barrier_wait(u64* barrier, u32 parity) {
  asm volatile("{.reg .pred p; WAIT%=: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra DONE%=; bra WAIT%=; DONE%=: }"
               :
               : "r"(shared_address(barrier)), "r"(parity)
               : "memory");
}
#endif

}  // namespace fedlora::cuda
