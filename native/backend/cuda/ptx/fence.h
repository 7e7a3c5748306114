/// The fence between a thread's own writes to shared memory and the units that read it by themselves (sm_90).
#pragma once
#include "backend/cuda/device/prelude.h"

namespace fedlora::cuda {

#if !defined(__CUDACC__)
DEV void fence_proxy_async() { emulator::fence_proxy(); }
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
/// What this thread wrote to shared memory may be read by wgmma and the TMA: after the stores, before the barrier that hands them over.
DEV void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif

}  // namespace fedlora::cuda
