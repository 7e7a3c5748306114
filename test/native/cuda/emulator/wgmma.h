/// wgmma of sm_90a. Between issue and wait the accumulators are poison; operands are read as late as allowed, at the wait, by each warp for
/// its own 16 rows: so a tile that is given back too early shows in the numbers.
#pragma once
#include <cstdint>

namespace emulator {

/// D[64,N] (+)= A[64,16]·B[N,16]ᵀ in bf16. `a_registers` null: A from shared memory. trans_a, trans_b: that operand's M or N runs fastest.
void wgmma(float* d, int N, uint64_t a, const uint32_t* a_registers, uint64_t b, int accumulate, int trans_a, int trans_b);
void wgmma_fence();
void wgmma_commit();
/// Until at most `leave` of the warpgroup's batches are under way.
void wgmma_wait(int leave);

/// setmaxnreg: the warpgroups of a block share 65,536 registers.
void set_registers(int count);

}  // namespace emulator
