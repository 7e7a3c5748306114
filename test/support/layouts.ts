/** Tensors for a vector of any length. */
import type { UpdateTensor } from '../../src/compression/layout.js'

/** A square, and one row of what is left. */
export function tensorsFor(length: number): UpdateTensor[] {
  const side = Math.floor(Math.sqrt(length))
  const rest = length - side * side
  return [{ shape: [side, side] }, ...(rest > 0 ? [{ shape: [1, rest] as const }] : [])]
}
