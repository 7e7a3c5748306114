/** How an update leaves a client: what earlier messages left out is added, and what this one leaves out is kept. */
import { linearCombination } from '../../aggregation/vectors.js'
import type { Codec } from '../../compression/codec-options.js'
import { native } from '../../native/load.js'
import type { Chosen, Travel } from '../algorithms/algorithm.js'
import { encodingOf } from '../encoding.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import { rangeOf, type Segment } from '../protocol/segments.js'
import { type Space, tensorsOf, whole } from '../protocol/space.js'
import type { Upload } from '../upload-options.js'
import type { OwnState } from './own-state.js'

/** Under which name the residual of a vector is kept. */
const residualOf = (vector: string) => `residual-${vector}`

/** Whether what a message leaves out is kept for the next. */
const keepsRest = ({ codec, segments, errorFeedback }: Upload) =>
  segments > 1 ? errorFeedback === true : codec !== 'f32' && errorFeedback !== false

/** Whether clients of an algorithm keep what a message leaves out. */
export const feedsBack = (upload: Upload, { algorithm }: Chosen): boolean =>
  keepsRest(upload) && algorithm.errorFeedback !== false

/** The stream of a vector's roundings: of the client's name, and of the vector's when it is not the adapter. */
const roundingStream = (client: string, vector: string) =>
  streamOf(vector === 'adapter' ? client : JSON.stringify([client, vector]))

/** Codecs whose message holds what a seed chooses, which all clients share: their vectors then add up value by value. */
const chosenBySeed: readonly Codec[] = ['randk', 'blocks']

/** Of what a client is about to send. */
export interface Sending {
  readonly client: string
  readonly round: number
  /** Seed of the federation. */
  readonly seed: number
  readonly space: Space
  /** Elements of the adapter whose updates travel, by name. */
  readonly travels: Travel
}

/**
 * The message that carries one vector, or a segment of it.
 * @param own - where residuals are kept; the new one counts when the round has ended. Undefined: none are.
 */
export async function encodeUpload(
  vector: string,
  update: Float32Array,
  about: Sending,
  upload: Upload,
  own: OwnState | undefined,
  segment?: Segment,
): Promise<Uint8Array> {
  const { client, round, seed, space, travels } = about
  const feedback = keepsRest(upload) ? own : undefined
  const before =
    feedback && ((await feedback.read(client, residualOf(vector), update.length)) ?? new Float32Array(update.length))
  const [begin, end] = segment === undefined ? [0, update.length] : rangeOf(update.length, segment)
  const part = (values: Float32Array) => values.subarray(begin, end)
  const tensors = tensorsOf(space, travels[vector] ?? whole(space))
  const { bytes } = native().encodeUpdate(part(update), before ? part(before) : null, {
    ...encodingOf(upload, update.length, tensors, [begin, end]),
    seed: deriveSeed(seed, 'encoding', round, roundingStream(client, vector)),
    choiceSeed: deriveSeed(seed, 'choice', round, streamOf(vector)),
    unbiased: before === undefined && chosenBySeed.includes(upload.codec),
    inPlace: true,
  })
  if (before === undefined) return bytes
  for (const [from, to] of [
    [0, begin],
    [end, update.length],
  ] as const) {
    const unsent = before.subarray(from, to)
    if (unsent.length > 0) linearCombination([1, 1], [unsent, update.subarray(from, to)], unsent)
  }
  await feedback!.write(client, residualOf(vector), round, before)
  return bytes
}
