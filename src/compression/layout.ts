/** The tensors of an update, for codecs that treat them apart: as JavaScript names them and as the engine reads them. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import type { Codec } from './codec-options.js'

const size = z.int().min(1)

/** An entry of an adapter's `layout` fits. */
export const tensorSchema = z.strictObject({
  shape: z.tuple([size, size]).readonly().describe('rows and columns'),
  part: z.enum(['lora_A', 'lora_B']).optional().describe('which density applies'),
  name: z.string().optional().describe('of the tensor, for people'),
  offset: z.int().min(0).optional().describe('where it lies in the update; default: behind the one before'),
  length: size.optional().describe('rows times columns'),
})

/** A tensor [rows, columns] of an update, row-major, behind the ones before it. */
export type UpdateTensor = z.input<typeof tensorSchema>

export type Density = number | { A: number; B: number }

/**
 * Rows, columns and density of each tensor; undefined when there is nothing to tell them apart by.
 * @throws FedloraError `E_SHAPE` where tensors do not lie one behind the other; `E_ARGUMENT` for a density of parts without parts.
 */
export function encodeLayout(
  layout: readonly UpdateTensor[] | undefined,
  density: Density,
  codec: Codec,
): Float64Array | undefined {
  if (layout === undefined) {
    if (codec === 'lowrank') {
      throw new FedloraError(
        'E_ARGUMENT',
        'codec lowrank: expected a layout that says which rows and columns the tensors of the update have; pass layout: adapter.layout',
      )
    }
    if (typeof density === 'number') return undefined
    throw new FedloraError(
      'E_ARGUMENT',
      'density { A, B }: expected a layout that says which values are of lora_A and which of lora_B; pass layout: adapter.layout',
    )
  }
  const encoded = new Float64Array(3 * layout.length)
  let offset = 0
  for (const [i, tensor] of layout.entries()) {
    const [rows, columns] = tensor.shape
    const length = rows * columns
    if ((tensor.offset ?? offset) !== offset || (tensor.length ?? length) !== length) {
      throw new FedloraError(
        'E_SHAPE',
        `layout[${i}]: a tensor of ${tensor.length ?? length} values at ${tensor.offset}, expected ${length} (${rows} × ${columns}) at ${offset}, behind the one before it`,
      )
    }
    if (typeof density !== 'number' && tensor.part === undefined) {
      throw new FedloraError('E_ARGUMENT', `layout[${i}] has no part, expected lora_A or lora_B for density { A, B }`)
    }
    const own = typeof density === 'number' ? density : tensor.part === 'lora_A' ? density.A : density.B
    encoded.set([rows, columns, own], 3 * i)
    offset += length
  }
  return encoded
}
