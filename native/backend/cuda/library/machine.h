/// What the machine has: driver, devices, their capability.
#pragma once
#include "backend/cuda/abi.h"

namespace fedlora::cuda {

/// The least compute capability that the kernels run on: 8.0, tensor cores with bf16 and cp.async.
inline constexpr int least_capability = 80;

// Both write what is known before they fail.

/// Fails with no_driver, old_driver or no_device where nothing can run.
void find_machine(Machine& machine);
/// Fails as find_machine does, with no_device for a number that is not there, and with old_device below the least capability.
void describe(int device, DeviceInfo& info);

}  // namespace fedlora::cuda
