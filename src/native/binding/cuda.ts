/** What there is of CUDA on a machine. */
import type { ErrorCode } from '../../errors.js'

/** Where a model runs: the CPU, or a CUDA device by its number; `cuda` is `cuda:0`. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}`

/** Why something cannot be used, as `loadModel` would say it; both null where it can. */
export interface CudaProblem {
  code: ErrorCode | null
  problem: string | null
}

export interface CudaDevice extends CudaProblem {
  device: Device
  name: string
  /** Compute capability, such as `9.0`. */
  capability: string
  totalBytes: number
  freeBytes: number
}

export interface CudaInfo extends CudaProblem {
  /** The library that was opened, or null. */
  library: string | null
  /** Where it was looked for, in this order; the first file that is there counts. */
  looked: { place: string; problem: string | null }[]
  /** Newest CUDA that the driver runs, such as `12.8`; null without a driver. */
  driver: string | null
  /** CUDA that the library was built with. */
  runtime: string | null
  devices: CudaDevice[]
}
