/** The machine, as the addon sees it. */
import type { NativeInfo } from './binding.js'
import { native } from './load.js'

/**
 * Version, processor, instruction set in use and which kernel comes from which set.
 * @throws FedloraError `E_LOAD`, `E_ISA`.
 */
export function deviceInfo(): NativeInfo {
  return native().info()
}
