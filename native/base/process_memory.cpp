#include "base/process_memory.h"

#if defined(_WIN32)
#define PSAPI_VERSION 2  // K32GetProcessMemoryInfo, in kernel32 itself
#include <windows.h>
// after windows.h
#include <psapi.h>
#elif defined(__APPLE__)
#include <mach/mach.h>
#include <sys/resource.h>
#else
#include <cstdio>
#endif

namespace fedlora {

ProcessMemory process_memory() {
  ProcessMemory memory;
#if defined(_WIN32)
  PROCESS_MEMORY_COUNTERS counters = {};
  if (GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters)) {
    memory.resident = static_cast<double>(counters.WorkingSetSize);
    memory.peak = static_cast<double>(counters.PeakWorkingSetSize);
  }
#elif defined(__APPLE__)
  rusage usage = {};
  if (getrusage(RUSAGE_SELF, &usage) == 0) memory.peak = static_cast<double>(usage.ru_maxrss);  // bytes, where Linux has KiB
  mach_task_basic_info task = {};
  mach_msg_type_number_t words = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&task), &words) == KERN_SUCCESS)
    memory.resident = static_cast<double>(task.resident_size);
#else
  if (std::FILE* file = std::fopen("/proc/self/status", "r")) {
    char line[256];
    double kib;
    while (std::fgets(line, sizeof line, file) != nullptr) {
      if (std::sscanf(line, "VmHWM: %lf", &kib) == 1) memory.peak = kib * 1024;
      if (std::sscanf(line, "VmRSS: %lf", &kib) == 1) memory.resident = kib * 1024;
    }
    std::fclose(file);
  }
#endif
  return memory;
}

}  // namespace fedlora
