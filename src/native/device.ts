/** The machine, as the addon sees it. */
import type { CudaInfo, Device, LoadOptions, NativeInfo } from './binding.js'
import { cudaPlaces } from './cuda-places.js'
import { native } from './load.js'

/**
 * Version, processor, instruction set in use and which kernel comes from which set.
 * @throws FedloraError `E_LOAD`, `E_ISA`.
 */
export function deviceInfo(): NativeInfo {
  return native().info()
}

/**
 * Where the CUDA library was looked for, driver, devices, and why they cannot be used where they cannot: what `loadModel` with a CUDA device
 * would meet. Opens the library and the driver.
 * @throws FedloraError `E_LOAD`.
 */
export function cudaInfo(): CudaInfo {
  return native().cudaInfo(cudaPlaces())
}

/** Memory of a CUDA device; null for the CPU and for a device that is not there. */
export function deviceMemory(device: Device): { totalBytes: number; freeBytes: number } | null {
  if (device === 'cpu') return null
  const found = cudaInfo().devices.find((one) => one.device === (device === 'cuda' ? 'cuda:0' : device))
  return found === undefined ? null : { totalBytes: found.totalBytes, freeBytes: found.freeBytes }
}

/** The part of a load request that says where the model runs. */
export function onDevice(device: Device): Pick<LoadOptions, 'device' | 'cudaLibraries'> {
  return device === 'cpu' ? { device } : { device, cudaLibraries: cudaPlaces() }
}
