/// What a kernel may not do, said in words: which block and thread, and what it did.
#pragma once
#include <stdexcept>

namespace emulator {

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws a Fault that begins with the kernel, block and thread that run.
[[noreturn]] void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace emulator
