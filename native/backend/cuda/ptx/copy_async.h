/// cp.async (sm_80): global to shared memory past the registers, in groups of the issuing thread. What arrived is seen by that thread after
/// its wait, by others after a barrier behind it.
#pragma once
#include "backend/cuda/ptx/shared_address.h"

namespace fedlora::cuda {

#if defined(__CUDACC__)
/// 16 bytes, both sides aligned to 16; only the first `valid` are read, the rest arrives as zero. Past the L1 cache.
DEV void cp_async16(void* to, const void* from, int valid = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid) : "memory");
}
/// The same with 4 or 8 bytes, by way of the L1 cache.
DEV void cp_async8(void* to, const void* from, int valid = 8) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid) : "memory");
}
DEV void cp_async4(void* to, const void* from, int valid = 4) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(valid) : "memory");
}
DEV void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Until at most N of this thread's groups are under way.
template <int N>
DEV void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#else
DEV void cp_async16(void* to, const void* from, int valid = 16) { emulator::cp_async(to, from, 16, valid); }
DEV void cp_async8(void* to, const void* from, int valid = 8) { emulator::cp_async(to, from, 8, valid); }
DEV void cp_async4(void* to, const void* from, int valid = 4) { emulator::cp_async(to, from, 4, valid); }
DEV void cp_async_commit() { emulator::cp_async_commit(); }
template <int N>
DEV void cp_async_wait() {
  emulator::cp_async_wait(N);
}
#endif

}  // namespace fedlora::cuda
