/// A kernel that touches what it may not (a guard page, an odd address, a division by zero) is stopped by the processor; here its signal
/// becomes the fault of the thread that ran.
#pragma once

namespace emulator {

/// Once a process. Left alone under the sanitizers, which have handlers of their own.
void watch_signals();

}  // namespace emulator
