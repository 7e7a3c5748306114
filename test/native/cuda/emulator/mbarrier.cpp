#include "mbarrier.h"

#include "device.h"
#include "fault.h"
#include "options.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

constexpr uint64_t magic = 0x6d62617272696572;

MBarrier& at(uint64_t* barrier, const char* who) {
  need_architecture(90, who);
  shared_offset(barrier, 8, 8, who);
  device_access::read(barrier, 8);
  Quiet quiet;
  const auto found = machine.barriers.find(barrier);
  if (*barrier != magic || found == machine.barriers.end()) fault("%s on a barrier that is not initialised or was overwritten", who);
  return found->second;
}

void end_phase_if_complete(MBarrier& state) {
  if (state.pending != 0 || state.bytes != 0) return;
  state.phase++;
  state.pending = state.count;
  wake(state.waiters);
}

}  // namespace

void barrier_init(uint64_t* barrier, uint32_t count) {
  need_architecture(90, "mbarrier.init");
  shared_offset(barrier, 8, 8, "mbarrier.init");
  device_access::write(barrier, 8);
  Quiet quiet;
  *barrier = magic;
  machine.barriers[barrier] = MBarrier{count, count, 0, 0, {}};
}

void barrier_arrive(uint64_t* barrier, int64_t expect) {
  MBarrier& state = at(barrier, expect ? "mbarrier.arrive.expect_tx" : "mbarrier.arrive");
  release(barrier);
  {
    Quiet quiet;
    if (options.strict) note_writes();
    if (state.pending == 0) fault("mbarrier.arrive: more arrivals than the %u announced", state.count);
    state.bytes += expect;
    state.pending--;
    end_phase_if_complete(state);
  }
  perhaps_yield();
}

void barrier_expect(uint64_t* barrier, int64_t bytes) {
  MBarrier& state = at(barrier, "mbarrier.expect_tx");
  Quiet quiet;
  state.bytes += bytes;
}

void barrier_wait(uint64_t* barrier, uint32_t parity) {
  MBarrier& state = at(barrier, "mbarrier.wait");
  if (parity > 1) fault("mbarrier.wait: parity %u", parity);
  while ((state.phase & 1) == parity) wait_in(state.waiters, "mbarrier.wait");
  acquire(barrier);
}

void barrier_check(uint64_t* barrier, const char* who) { at(barrier, who); }

void barrier_bytes(uint64_t* barrier, int64_t bytes) {
  release(barrier);
  Quiet quiet;
  MBarrier& state = machine.barriers.at(barrier);
  state.bytes -= bytes;
  end_phase_if_complete(state);
}

}  // namespace emulator
