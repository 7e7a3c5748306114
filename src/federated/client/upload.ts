/** How an update leaves a client: what earlier messages left out is added, and what this one leaves out is kept. */
import { linearCombination } from '../../aggregation/vectors.js'
import { native } from '../../native/load.js'
import type { Chosen } from '../algorithms/algorithm.js'
import { type Choosing, choiceOf, choiceSeedOf, isChosenBySeed } from '../choice.js'
import { encodingOf } from '../encoding.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import { rangeOf, type Segment } from '../protocol/segments.js'
import { tensorsOf, whole } from '../protocol/space.js'
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

/** Of what a client is about to send. */
export interface Sending extends Choosing {
  readonly client: string
}

/** What earlier messages left out of a vector; undefined where nothing is kept. */
async function restOf(vector: string, length: number, client: string, upload: Upload, own: OwnState | undefined) {
  const feedback = keepsRest(upload) ? own : undefined
  return feedback && ((await feedback.read(client, residualOf(vector), length)) ?? new Float32Array(length))
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
  const before = await restOf(vector, update.length, client, upload, own)
  const [begin, end] = segment === undefined ? [0, update.length] : rangeOf(update.length, segment)
  const part = (values: Float32Array) => values.subarray(begin, end)
  const tensors = tensorsOf(space, travels[vector] ?? whole(space))
  const { bytes } = native().encodeUpdate(part(update), before ? part(before) : null, {
    ...encodingOf(upload, update.length, tensors, [begin, end]),
    seed: deriveSeed(seed, 'encoding', round, roundingStream(client, vector)),
    choiceSeed: choiceSeedOf(seed, round, vector),
    unbiased: before === undefined && isChosenBySeed(upload),
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
  await own!.write(client, residualOf(vector), round, before)
  return bytes
}

/**
 * What of a vector travels under a mask: the values that the round's seed chooses, or all of it. What the mask's grid rounds or clips is not
 * kept.
 * @param own - as in `encodeUpload`.
 */
export async function chooseForMask(
  vector: string,
  update: Float32Array,
  about: Sending,
  upload: Upload,
  own: OwnState | undefined,
): Promise<Float32Array> {
  const { client, round } = about
  const before = await restOf(vector, update.length, client, upload, own)
  const choice = choiceOf(vector, update.length, about, upload, before === undefined)
  if (choice === undefined) return update
  const whole = before === undefined ? update : linearCombination([1, 1], [before, update], before)
  const { places, scales } = choice
  const chosen = Float32Array.from(places, (place, i) => whole[place]! * scales[i]!)
  if (before === undefined) return chosen
  for (const place of places) before[place] = 0
  await own!.write(client, residualOf(vector), round, before)
  return chosen
}
