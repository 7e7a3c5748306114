/// setmaxnreg (sm_90a): warpgroups of one block divide its registers anew. Every warp of the warpgroup executes it.
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

#if !defined(__CUDACC__)
template <int N>
DEV void registers_take() {
  emulator::set_registers(N);
}
template <int N>
DEV void registers_give() {
  emulator::set_registers(N);
}
#elif !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// Up to N registers a thread, once others gave theirs.
template <int N>
DEV void registers_take() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
/// Down to N.
template <int N>
DEV void registers_give() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
#endif

}  // namespace fedlora::cuda
