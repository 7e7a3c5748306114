/// Threads of a block as fibers: who runs next, who waits, and when something asynchronous happens.
#pragma once
#include <functional>
#include <vector>

#include "machine.h"
#include "sanitizers.h"

namespace emulator {

constexpr size_t page_bytes = 4096;
constexpr size_t stack_bytes = size_t{EMULATOR_TSAN || EMULATOR_ASAN ? 512 : 128} << 10;

/// Gives the processor to some ready thread, or completes something pending; comes back when this thread was woken and picked.
void schedule();
/// Now and then gives way: called where a real thread may be overtaken.
void perhaps_yield();
void make_ready(Fiber* fiber);
void wake(std::vector<Fiber*>& waiters);
void wait_in(std::vector<Fiber*>& waiters, const char* where);
/// Ends the running thread without unwinding it, and the block with it; `machine.error` says why.
[[noreturn]] void abandon();
/// Happens at a random later moment.
void happen_later(std::function<void()> run);

/// A fresh stack for thread `linear` of the block, which begins in `machine.body`.
void prepare_fiber(Fiber& fiber, int linear);
/// Runs the threads of `machine` until all have ended or none can go on.
void run_fibers();

}  // namespace emulator
