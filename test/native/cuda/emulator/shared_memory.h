/// Shared memory of the block that runs: a window before a page nobody may touch, poisoned when a block begins. It begins at a multiple of
/// 1,024; up to that size more lies behind it as slack, which must not change.
#pragma once
#include <cstddef>
#include <cstdint>

#include "machine.h"

namespace emulator {

/// Readies the window for a block: `machine.shared_bytes` of poison.
void open_shared_window();
/// Faults when the slack was written.
void check_slack();

bool in_shared(const void* p, size_t bytes);
/// The shared address of p. Faults when `bytes` there leave the window, or when it is not aligned.
uint32_t shared_offset(const void* p, size_t bytes, size_t alignment, const char* who);

/// An asynchronous copy is under way: what is there must not be read.
void spoil(void* to, size_t bytes);

// Strict mode: who wrote what. Writes by threads are found by comparison with a snapshot, at every switch.
void note_writes();
/// The copy engine has just written `bytes` at p: no thread's doing.
void note_arrival(const void* p, size_t bytes);
/// fence.proxy.async: what this thread wrote may be read by the tensor cores and the copy engine.
void fence_proxy();
/// Faults when the 16 bytes around `offset` were written by a thread that has not fenced since.
void check_fenced(uint32_t offset, const char* who);

}  // namespace emulator
