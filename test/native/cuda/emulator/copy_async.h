/// cp.async: the destination is poison from the copy's issue to its wait, whatever happens first on a real device.
#pragma once

namespace emulator {

/// `bytes` (4, 8 or 16) to shared memory, of which the first `valid` come from `from` and the rest is zero.
void cp_async(void* to, const void* from, int bytes, int valid);
void cp_async_commit();
/// Until at most `leave` of the thread's groups are under way.
void cp_async_wait(int leave);

}  // namespace emulator
