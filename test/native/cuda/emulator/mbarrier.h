/// mbarrier: a phase ends when all arrivals came and all announced bytes. A magic word stands in shared memory, the state beside it.
#pragma once
#include <cstdint>

namespace emulator {

void barrier_init(uint64_t* barrier, uint32_t count);
/// One arrival; `expect` bytes more are announced.
void barrier_arrive(uint64_t* barrier, int64_t expect);
/// Announces bytes without arriving.
void barrier_expect(uint64_t* barrier, int64_t bytes);
/// Until the phase of this parity has ended.
void barrier_wait(uint64_t* barrier, uint32_t parity);

/// Faults unless `barrier` is an initialised barrier.
void barrier_check(uint64_t* barrier, const char* who);
/// `bytes` have come, by the copy engine.
void barrier_bytes(uint64_t* barrier, int64_t bytes);

}  // namespace emulator
