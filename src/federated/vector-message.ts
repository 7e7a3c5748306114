/** A vector whole in an update message, with its header and checksum. */
import { native } from '../native/load.js'

/** @param codec - one that needs no seed: `f32` loses nothing. */
export function encodeVector(values: Float32Array, codec: 'f32' | 'bf16' = 'f32'): Uint8Array {
  return native().encodeUpdate(values, null, { codec, density: 1, bits: 8, seed: 0 }).bytes
}

/**
 * @param length - values that it must have: no memory is taken for what a message claims.
 * @throws FedloraError `E_FORMAT`, `E_CHECKSUM`, `E_VERSION`, `E_NONFINITE` for what is no such message, `E_SHAPE`.
 */
export function decodeVector(message: Uint8Array, length?: number): Float32Array {
  return native().decodeUpdate(message, undefined, length === undefined ? undefined : new Float32Array(length))
}
