/// Memory of this process.
#pragma once

namespace fedlora {

/// In bytes; 0 where the system does not say.
struct ProcessMemory {
  double resident = 0, peak = 0;
};

ProcessMemory process_memory();

}  // namespace fedlora
