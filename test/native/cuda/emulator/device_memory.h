/// Memory of the device: every allocation lies between pages nobody may touch, ends at one (but for its last 15 bytes), and begins as
/// poison.
#pragma once
#include <cstddef>
#include <string>

namespace emulator {

/// Null when the device has no more.
void* device_allocate(size_t bytes);
/// False: that is no allocation.
bool device_release(void* p);
/// Bytes in use, and how many allocations.
size_t device_bytes();
size_t device_allocations();
/// True unless [p, p + bytes) begins in an allocation and leaves it. Host memory is always within.
bool within_allocation(const void* p, size_t bytes);
/// In words, where p lies: so many bytes before or behind which allocation.
std::string describe_allocation(const void* p);

}  // namespace emulator
