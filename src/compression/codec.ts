/** Encoded updates: a vector to a self-describing, checksummed message and back. */
import { z } from 'zod'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { native } from '../native/load.js'
import { parseOptions } from '../options/parse.js'
import { type Codec, checkCodec, codecShape, codecs, runLog2 } from './codec-options.js'
import { encodeLayout, tensorSchema } from './layout.js'

export { type Codec, codecs }

const vector = z.custom<Float32Array>((value) => value instanceof Float32Array, 'expected a Float32Array')

const threads = z
  .int()
  .min(1)
  .max(1024)
  .optional()
  .describe('threads at work; no result depends on it (default: all cores)')

export const encodeOptionsSchema = z
  .strictObject({
    ...codecShape,
    choiceSeed: z
      .int()
      .min(0)
      .default(0)
      .describe('seed of what randk and blocks send: messages that share it have the same values, so that they add up'),
    unbiased: z
      .boolean()
      .default(false)
      .describe(
        'randk, blocks: values are scaled up by what is not sent, so that their expectation is the update; without a residual',
      ),
    layout: z
      .array(tensorSchema)
      .min(1)
      .readonly()
      .optional()
      .describe('the tensors of the update, in order: adapter.layout; for codec lowrank and density { A, B }'),
    residual: vector.optional().describe('what earlier messages left unsent (error feedback); the new one is returned'),
    inPlace: z
      .boolean()
      .default(false)
      .describe('overwrite the residual with the new one, which saves an array as long as the update'),
    threads,
  })
  .superRefine(checkCodec)

/** Options of `encodeUpdate`. Defaults: density 1/64, bits 4, runs of 256, rank 2, seeds 0, no error feedback, all cores. */
export type EncodeUpdateOptions = z.input<typeof encodeOptionsSchema>

export interface EncodedUpdate {
  bytes: Uint8Array
  /** update + previous residual − what was sent, in float32; null when no residual was given. */
  residual: Float32Array | null
}

function checkVector(value: unknown, doing: string): asserts value is Float32Array {
  if (!(value instanceof Float32Array)) {
    throw new FedloraError('E_ARGUMENT', `${doing}: got ${describeValue(value)}, expected a Float32Array`)
  }
}

function checkBytes(value: unknown, doing: string): asserts value is Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new FedloraError('E_ARGUMENT', `${doing}: got ${describeValue(value)}, expected a Uint8Array`)
  }
}

export const threadsSchema = z.strictObject({ threads })

export const into = vector
  .optional()
  .describe('array that takes the values, as long as the update (default: a new one)')
export const decodeSchema = z.strictObject({ threads, into })

/** Options of `decodeUpdate`: threads at work, and an array to reuse, since fresh memory costs as much as the values. */
export type DecodeUpdateOptions = z.input<typeof decodeSchema>

/** Threads at work; no result depends on it. Default: all cores; short vectors use one. */
export type ThreadOptions = z.input<typeof threadsSchema>

function overlap(a: Float32Array, b: Float32Array): boolean {
  const ends = (view: Float32Array) => view.byteOffset + view.byteLength
  return a.buffer === b.buffer && a.byteOffset < ends(b) && b.byteOffset < ends(a)
}

/**
 * Encodes an update. With a residual (zeros at first) what is not sent now is sent later: |sent + residual − (update + previous
 * residual)| is at most 1 ulp of the larger, and exactly zero where nothing is sent. With `inPlace` the new residual replaces the
 * old one in its array, unless an error is thrown; otherwise neither array is changed.
 * @throws FedloraError `E_ARGUMENT`, `E_CONFIG`, `E_SHAPE` when the residual or the layout has another length, `E_NONFINITE`.
 * @example
 * ```ts
 * const update = new Float32Array(4096).fill(1e-3)
 * const residual = new Float32Array(update.length) // what was not sent yet; kept from one update to the next
 * const { bytes } = encodeUpdate(update, { codec: 'topk', density: 1 / 64, bits: 2, residual, inPlace: true })
 * const received = decodeUpdate(bytes)
 * ```
 */
export function encodeUpdate(update: Float32Array, options: EncodeUpdateOptions): EncodedUpdate {
  checkVector(update, 'encodeUpdate')
  const { residual, layout, density, block, ...codec } = parseOptions(encodeOptionsSchema, options, 'encode options')
  if (codec.unbiased && residual !== undefined) {
    throw new FedloraError(
      'E_ARGUMENT',
      'encodeUpdate: unbiased with a residual counts twice what is not sent: scaled up now, sent later. Leave one of them out',
    )
  }
  if (residual !== undefined && residual.length !== update.length) {
    throw new FedloraError(
      'E_SHAPE',
      `encodeUpdate: the residual has ${residual.length} values, the update ${update.length}`,
    )
  }
  if (codec.inPlace && residual !== undefined && overlap(update, residual)) {
    throw new FedloraError(
      'E_ARGUMENT',
      'encodeUpdate: the residual overlaps the update, so it cannot be written in place',
    )
  }
  return native().encodeUpdate(update, residual ?? null, {
    ...codec,
    density: typeof density === 'number' ? density : 1,
    runLog2: runLog2(block),
    layout: encodeLayout(layout, density, codec.codec),
  })
}

/**
 * The vector that a message carries: `into`, which an error leaves as it was, or a new array.
 * @throws FedloraError `E_SHAPE` when `into` has another length; `E_FORMAT`, `E_CHECKSUM`, `E_VERSION` for a foreign, damaged or newer message.
 */
export function decodeUpdate(bytes: Uint8Array, options: DecodeUpdateOptions = {}): Float32Array {
  checkBytes(bytes, 'decodeUpdate')
  const { threads, into } = parseOptions(decodeSchema, options, 'decode options')
  return native().decodeUpdate(bytes, threads, into)
}
