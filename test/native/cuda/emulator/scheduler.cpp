#include "scheduler.h"

#include <cstdlib>
#include <exception>

#include "fault.h"
#include "options.h"
#include "shared_memory.h"

// Saves the callee's registers and the stack pointer, and goes on where another fiber saved its own: a switch without a system call.
extern "C" void emulator_switch(void** save, void* load);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch,@function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulator_switch,.-emulator_switch
)");

namespace emulator {
namespace {

/// Null: to the host.
void go(Fiber* to) {
  Fiber* from = machine.current;
  if (from == to) return;
  machine.switches++;
  machine.current = to;
#if EMULATOR_TSAN
  __tsan_switch_to_fiber(to ? to->tsan : machine.host_tsan, 1);  // 1: the switch orders nothing
#endif
#if EMULATOR_ASAN
  __sanitizer_start_switch_fiber(from ? (from->done ? nullptr : &from->asan) : &machine.host_asan, to ? to->stack : machine.host_bottom,
                                 to ? stack_bytes : machine.host_size);
#endif
  emulator_switch(from ? &from->stack_pointer : &machine.host_pointer, to ? to->stack_pointer : machine.host_pointer);
#if EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(from ? from->asan : machine.host_asan, nullptr, nullptr);
#endif
}

/// Completes one pending operation, as an agent of its own: after who asked for it, before nobody who does not wait for it.
void complete(size_t i) {
  Pending operation = std::move(machine.pending[i]);
  machine.pending.erase(machine.pending.begin() + static_cast<long>(i));
#if EMULATOR_TSAN
  void* self = __tsan_get_current_fiber();
  void* agent = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(agent, 1);
  acquire(operation.token);
#endif
  operation.run();
  operation.run = nullptr;
#if EMULATOR_TSAN
  __tsan_switch_to_fiber(self, 1);
  __tsan_destroy_fiber(agent);
#endif
  std::free(operation.token);
}

/// The warp that runs next, among those with a ready thread.
int pick_warp() {
  Machine& m = machine;
  uint32_t warps = m.ready_warps;
  if (options.seed % 2 == 0) {
    if (m.next() % 256 == 0) m.priority[m.next() % (static_cast<unsigned>(m.threads + 31) / 32)] = m.next();
    int best = __builtin_ctz(warps);
    for (; warps; warps &= warps - 1)
      if (const int w = __builtin_ctz(warps); m.priority[static_cast<size_t>(w)] > m.priority[static_cast<size_t>(best)]) best = w;
    return best;
  }
  for (uint32_t skip = m.next() % static_cast<unsigned>(__builtin_popcount(warps)); skip > 0; --skip) warps &= warps - 1;
  return __builtin_ctz(warps);
}

Fiber* pick() {
  Machine& m = machine;
  if (!m.pending.empty() && m.next() % 8 == 0) complete(m.next() % m.pending.size());
  while (!m.ready_warps && !m.pending.empty()) complete(m.next() % m.pending.size());
  if (!m.ready_warps) return nullptr;
  const auto warp = static_cast<size_t>(pick_warp());
  std::vector<Fiber*>& ready = m.ready[warp];
  Fiber*& slot = ready[m.next() % ready.size()];
  Fiber* picked = slot;
  slot = ready.back();
  ready.pop_back();
  if (ready.empty()) m.ready_warps &= ~(1u << warp);
  return picked;
}

void check_nothing_in_flight() {
  const Fiber& fiber = *machine.current;
  if (!fiber.open.empty() || !fiber.groups.empty()) fault("ends with cp.async in flight");
  if (!fiber.accumulators.empty()) fault("ends with wgmma in flight");
}

/// One thread less; those who wait in __syncthreads may be all that are left.
void leave_block() {
  Quiet quiet;
  machine.current->done = true;
  machine.live--;
  Meeting& all = machine.meetings[0];
  if (all.arrived && all.arrived == machine.live) all.arrived = 0, wake(all.waiters);
}

void fiber_main() {
#if EMULATOR_ASAN
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (!machine.host_bottom) machine.host_bottom = bottom, machine.host_size = size;
#endif
  try {
    (*machine.body)();
    check_nothing_in_flight();
    release(&machine.token);
    leave_block();
    schedule();
  } catch (const std::exception& error) {
    Quiet quiet;
    if (machine.error.empty()) machine.error = error.what();
  }
  abandon();
}

}  // namespace

void abandon() {
  machine.current->done = true;
  go(nullptr);
  std::abort();  // nobody resumes a thread that has ended
}

void schedule() {
  Fiber* to;
  {
    Quiet quiet;
    if (options.strict) note_writes();
    to = pick();
  }
  go(to);
}

void make_ready(Fiber* fiber) {
  const auto warp = static_cast<size_t>(fiber->linear >> 5);
  machine.ready[warp].push_back(fiber);
  machine.ready_warps |= 1u << warp;
}

void wake(std::vector<Fiber*>& waiters) {
  for (Fiber* fiber : waiters) make_ready(fiber);
  waiters.clear();
}

void wait_in(std::vector<Fiber*>& waiters, const char* where) {
  {
    Quiet quiet;
    waiters.push_back(machine.current);
    machine.current->where = where;
  }
  schedule();
}

void perhaps_yield() {
  {
    Quiet quiet;
    if (machine.next() % 16) return;
    make_ready(machine.current);
  }
  schedule();
}

void happen_later(std::function<void()> run) {
  Quiet quiet;
  void* token = std::malloc(8);
  release(token);
  machine.pending.push_back({std::move(run), token});
}

void prepare_fiber(Fiber& fiber, int linear) {
  char* stack = fiber.stack;
  fiber = Fiber{};
  fiber.stack = stack;
  fiber.linear = linear;
  const dim3& block = machine.block;
  const auto i = static_cast<unsigned>(linear);
  fiber.thread = dim3(i % block.x, i / block.x % block.y, i / (block.x * block.y));
  // What emulator_switch pops: six registers and a return address, with the alignment of a function that was called.
  void** top = reinterpret_cast<void**>(stack + stack_bytes) - 2;
  *top = reinterpret_cast<void*>(&fiber_main);
  for (int slot = 1; slot <= 6; ++slot) top[-slot] = nullptr;
  fiber.stack_pointer = top - 6;
#if EMULATOR_TSAN
  fiber.tsan = __tsan_create_fiber(0);
#endif
}

void run_fibers() {
  machine.current = nullptr;
  schedule();
}

}  // namespace emulator
