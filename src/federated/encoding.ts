/** How one vector is encoded: the options of a federation as the engine takes them. */

import { type Codec, runLog2 } from '../compression/codec-options.js'
import { type Density, encodeLayout } from '../compression/layout.js'
import type { EncodeOptions } from '../native/binding.js'
import { type Range, type TravellingTensor, tensorsWithin } from './protocol/space.js'

/** What `upload` and `download` have in common. */
export interface Encoding {
  readonly codec: Codec
  readonly density: Density
  readonly bits: EncodeOptions['bits']
  readonly block: number
  readonly rank: number
}

const sizeOf = (tensors: readonly TravellingTensor[]) =>
  tensors.reduce((sum, { shape: [rows, columns] }) => sum + rows * columns, 0)

/**
 * @param tensors - of the whole vector, in order. A vector of other values than theirs (by its length) has the larger of two densities.
 * @param range - what is encoded of the vector; default all.
 */
export function encodingOf(
  { codec, density, bits, block, rank }: Encoding,
  length: number,
  tensors: readonly TravellingTensor[],
  range: Range = [0, length],
): Omit<EncodeOptions, 'seed'> {
  const options = { codec, bits, rank, runLog2: runLog2(block) }
  const one = typeof density === 'number' ? density : Math.max(density.A, density.B)
  if (codec !== 'lowrank' && typeof density === 'number') return { ...options, density }
  const known = sizeOf(tensors) === length
  // Values that are not of these tensors: one row, which no factors stand for.
  const within = known ? tensorsWithin(tensors, range) : [{ shape: [1, range[1] - range[0]] as const }]
  if (range[1] === range[0] || (!known && codec !== 'lowrank')) return { ...options, density: one }
  return { ...options, density: one, layout: encodeLayout(within, known ? density : one, codec) }
}
