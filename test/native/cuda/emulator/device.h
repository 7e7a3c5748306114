/// The device that is played: what its architecture lacks is a fault.
#pragma once
#include "fault.h"
#include "options.h"

namespace emulator {

inline void need_architecture(int least, const char* instruction) {
  if (options.architecture < least) fault("%s does not exist on sm_%d", instruction, options.architecture);
}

/// wgmma and setmaxnreg belong to sm_90a alone.
inline void need_hopper(const char* instruction) {
  if (options.architecture != 90) fault("%s does not exist on sm_%d", instruction, options.architecture);
}

}  // namespace emulator
