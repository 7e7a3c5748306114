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
/// While one lives, device memory is there: for kernels and copies.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
};

/// Whether the page of p can be read just now.
bool host_can_read(const void* p);

/// Whether a kernel may be given this pointer: null, or into (or just behind) an allocation of the device or pinned memory of the host.
bool reachable(const void* p);
/// Pinned memory, which the device reaches and the host too.
void* pinned_allocate(size_t bytes);
bool pinned_release(void* p);

/// True unless [p, p + bytes) begins in an allocation and leaves it. Host memory is always within.
bool within_allocation(const void* p, size_t bytes);
/// In words, where p lies: so many bytes before or behind which allocation.
std::string describe_allocation(const void* p);

}  // namespace emulator
