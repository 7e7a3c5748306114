#include "device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "machine.h"
#include "options.h"
#include "scheduler.h"

namespace emulator {
namespace {

struct Allocation {
  size_t bytes;
  char* map;
  size_t map_bytes;
};
std::map<const char*, Allocation>& allocations() {
  static auto& all = *new std::map<const char*, Allocation>;
  return all;
}
size_t in_use = 0;
int accesses = 0;  // DeviceAccess that live

/// Pinned blocks and their sizes.
std::map<const char*, size_t>& pinned() {
  static auto& all = *new std::map<const char*, size_t>;
  return all;
}

void protect(const Allocation& allocation, int protection) {
  mprotect(allocation.map + page_bytes, allocation.map_bytes - 2 * page_bytes, protection);
}
void protect_all(int protection) {
  for (const auto& [base, allocation] : allocations()) protect(allocation, protection);
}

/// The last entry that begins at or before p holds it, or ends where p is.
template <class Map, class Size>
bool holds(const Map& map, const char* p, Size size) {
  auto next = map.upper_bound(p);
  return next != map.begin() && p <= (--next)->first + size(next->second);
}

}  // namespace

DeviceAccess::DeviceAccess() {
  if (accesses++ == 0) protect_all(PROT_READ | PROT_WRITE);
}
DeviceAccess::~DeviceAccess() {
  if (--accesses == 0) protect_all(PROT_NONE);
}

bool host_can_read(const void* p) {
  int ends[2];
  if (pipe(ends) != 0) return false;
  const bool readable = write(ends[1], p, 1) == 1;  // EFAULT where the page is closed
  close(ends[0]), close(ends[1]);
  return readable;
}

bool reachable(const void* p) {
  const auto* address = static_cast<const char*>(p);
  return !p || holds(allocations(), address, [](const Allocation& allocation) { return allocation.bytes; }) ||
         holds(pinned(), address, [](size_t bytes) { return bytes; });
}

void* pinned_allocate(size_t bytes) {
  void* p = std::malloc(bytes ? bytes : 1);
  if (p) pinned()[static_cast<char*>(p)] = bytes;
  return p;
}

bool pinned_release(void* p) {
  if (p && pinned().erase(static_cast<char*>(p)) == 0) return false;
  std::free(p);
  return true;
}

void* device_allocate(size_t bytes) {
  if (options.failing_allocation > 0 && --options.failing_allocation == 0) return nullptr;
  if (in_use + bytes > options.memory) return nullptr;
  const size_t body = (bytes + page_bytes) / page_bytes * page_bytes, map_bytes = body + 2 * page_bytes;
  void* mapped = mmap(nullptr, map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* map = static_cast<char*>(mapped);
  mprotect(map, page_bytes, PROT_NONE);
  mprotect(map + page_bytes + body, page_bytes, PROT_NONE);
  char* data = map + page_bytes + body - (bytes + 15) / 16 * 16;
  std::memset(map + page_bytes, poison, body);
  forbid(map + page_bytes, body);
  allow(data, bytes);
  const Allocation& allocation = allocations()[data] = {bytes, map, map_bytes};
  if (accesses == 0) protect(allocation, PROT_NONE);
  in_use += bytes;
  return data;
}

bool device_release(void* p) {
  const auto found = allocations().find(static_cast<char*>(p));
  if (found == allocations().end()) return false;
  allow(found->second.map + page_bytes, found->second.map_bytes - 2 * page_bytes);
  munmap(found->second.map, found->second.map_bytes);
  in_use -= found->second.bytes;
  allocations().erase(found);
  return true;
}

size_t device_bytes() { return in_use; }
size_t device_allocations() { return allocations().size(); }

bool within_allocation(const void* p, size_t bytes) {
  const auto* begin = static_cast<const char*>(p);
  auto next = allocations().upper_bound(begin);
  if (next == allocations().begin()) return true;
  const auto& [base, allocation] = *--next;
  if (begin >= base + allocation.bytes) return true;
  return begin + bytes <= base + allocation.bytes;
}

std::string describe_allocation(const void* p) {
  const auto* address = static_cast<const char*>(p);
  for (const auto& [base, allocation] : allocations()) {
    if (address < allocation.map || address >= allocation.map + allocation.map_bytes) continue;
    const std::string of = " of an allocation of " + std::to_string(allocation.bytes) + " bytes";
    const auto size = static_cast<ptrdiff_t>(allocation.bytes);
    if (address < base) return std::to_string(base - address) + " bytes before the begin" + of;
    return address - base < size ? "byte " + std::to_string(address - base) + of
                                 : std::to_string(address - base - size) + " bytes behind the end" + of;
  }
  char text[64];
  std::snprintf(text, sizeof text, "%p, which is no memory of the device", p);
  return text;
}

}  // namespace emulator
