#include "backend/cuda/library/machine.h"

#include <cstdio>

#include "backend/cuda/library/failure.h"

namespace fedlora::cuda {

void find_machine(Machine& machine) {
  machine = Machine{};
  expect(cudaRuntimeGetVersion(&machine.runtime), "cudaRuntimeGetVersion");
  if (cudaDriverGetVersion(&machine.driver) != cudaSuccess) machine.driver = 0;
  const int major = machine.runtime / 1000, minor = machine.runtime % 1000 / 10;
  if (machine.driver == 0)
    fail(Verdict::no_driver,
         "no NVIDIA driver is installed on this machine, or none was passed into this container: install one for CUDA %d.%d or newer, or "
         "use device 'cpu'",
         major, minor);
  const cudaError_t error = cudaGetDeviceCount(&machine.devices);
  if (error != cudaSuccess) machine.devices = 0;
  if (error == cudaErrorInsufficientDriver || error == cudaErrorSystemDriverMismatch || error == cudaErrorCompatNotSupportedOnDevice)
    fail(Verdict::old_driver, "the NVIDIA driver is for CUDA %d.%d, the library needs %d.%d: install a newer driver, or use device 'cpu'",
         machine.driver / 1000, machine.driver % 1000 / 10, major, minor);
  if (error != cudaErrorNoDevice) expect(error, "cudaGetDeviceCount");
  if (machine.devices == 0)
    fail(Verdict::no_device,
         "there is an NVIDIA driver, but no device that this process may use (CUDA_VISIBLE_DEVICES?); use device 'cpu'");
}

void describe(int device, DeviceInfo& info) {
  Machine machine;
  find_machine(machine);
  if (device < 0 || device >= machine.devices)
    fail(Verdict::no_device, "there is no device cuda:%d: the machine has %d, the last is cuda:%d", device, machine.devices,
         machine.devices - 1);
  cudaDeviceProp properties;
  expect(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  std::snprintf(info.name, sizeof info.name, "%s", properties.name);
  info.capability = 10 * properties.major + properties.minor;
  info.multiprocessors = properties.multiProcessorCount;
  info.total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  if (info.capability < least_capability)
    fail(Verdict::old_device, "cuda:%d, %s, has compute capability %d.%d; the kernels need %d.%d (Ampere) or newer. Use device 'cpu'",
         device, info.name, properties.major, properties.minor, least_capability / 10, least_capability % 10);
}

}  // namespace fedlora::cuda
