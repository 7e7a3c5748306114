/// What a test chooses: the order in which things happen, how much is watched, and which device is played.
#pragma once
#include <cstddef>
#include <cstdint>

namespace emulator {

struct Options {
  /// Order of threads, blocks and asynchronous completions. Odd: threads take turns at random; even: warps have priorities that change now
  /// and then, so that one runs far ahead of another.
  uint64_t seed = 1;
  /// Who wrote which 16 bytes of shared memory is known, and the tensor cores may not read what was not passed to them by a proxy fence.
  /// About ten times slower.
  bool strict = false;
  int architecture = 90;            // 10 × major + minor of the compute capability
  size_t memory = size_t{8} << 30;  // of the device
  /// A kernel's fault is thrown by its launch. Otherwise it is written to standard error and the device is dead from there on, as a real
  /// one.
  bool throw_faults = false;
  /// The n-th allocation or launch from here on fails (1: the next one); 0: none does.
  int failing_allocation = 0, failing_launch = 0;
};
inline Options options;

/// Shared memory that one block may have, in bytes (CUDA programming guide, table of compute capabilities).
inline size_t most_shared(int architecture) {
  const size_t kib = architecture == 80 || architecture == 87 ? 163 : architecture >= 90 && architecture < 120 ? 227 : 99;
  return kib << 10;
}

}  // namespace emulator
