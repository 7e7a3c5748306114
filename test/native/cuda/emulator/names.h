/// threadIdx and its like: what the running fiber is.
#pragma once
#include "fault.h"
#include "machine.h"
#include "sanitizers.h"

namespace emulator {
EMULATOR_UNSEEN inline dim3 thread_index() { return machine.current->thread; }
EMULATOR_UNSEEN inline dim3 block_index() { return machine.index; }
EMULATOR_UNSEEN inline dim3 block_size() { return machine.block; }
EMULATOR_UNSEEN inline dim3 grid_size() { return machine.grid; }
EMULATOR_UNSEEN inline unsigned char* shared_memory() { return reinterpret_cast<unsigned char*>(machine.shared); }
}  // namespace emulator

#define threadIdx (emulator::thread_index())
#define blockIdx (emulator::block_index())
#define blockDim (emulator::block_size())
#define gridDim (emulator::grid_size())
constexpr int warpSize = 32;

[[noreturn]] inline void __trap() { emulator::fault("__trap"); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) {}
