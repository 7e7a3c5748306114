/// Runs a grid: its blocks one after another in random order, the threads of each as fibers.
#pragma once
#include <cstddef>
#include <functional>

#include "vector_types.h"

namespace emulator {

/// `body` is one thread. Throws a Fault when a thread did what it may not, or when threads wait for ever.
void run_grid(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);

}  // namespace emulator
