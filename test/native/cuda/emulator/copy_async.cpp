#include "copy_async.h"

#include <cstring>

#include "fault.h"
#include "scheduler.h"
#include "shared_memory.h"

namespace emulator {
namespace {

void arrive(const Copy& copy) {
  if (copy.bytes) device_access::read(copy.from, static_cast<size_t>(copy.bytes));
  device_access::write(copy.to, static_cast<size_t>(copy.bytes + copy.filled));
  Quiet quiet;
  std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  std::memset(static_cast<char*>(copy.to) + copy.bytes, 0, static_cast<size_t>(copy.filled));
}

}  // namespace

void cp_async(void* to, const void* from, int bytes, int valid) {
  shared_offset(to, static_cast<size_t>(bytes), static_cast<size_t>(bytes), "cp.async");
  if (reinterpret_cast<uintptr_t>(from) % static_cast<unsigned>(bytes))
    fault("cp.async: global address %p is not aligned to %d", from, bytes);
  if (valid < 0 || valid > bytes) fault("cp.async: %d valid of %d bytes", valid, bytes);
  spoil(to, static_cast<size_t>(bytes));
  {
    Quiet quiet;
    machine.current->open.push_back({to, from, valid, bytes - valid});
  }
  perhaps_yield();
}

void cp_async_commit() {
  Quiet quiet;
  machine.current->groups.push_back(std::move(machine.current->open));
  machine.current->open.clear();
}

void cp_async_wait(int leave) {
  auto& groups = machine.current->groups;
  while (static_cast<int>(groups.size()) > leave) {
    for (const Copy& copy : groups.front()) arrive(copy);
    groups.erase(groups.begin());
  }
  perhaps_yield();
}

}  // namespace emulator
