/** How an update leaves a client: what earlier messages left out is added, and what this one leaves out is kept. */
import { linearCombination } from '../../aggregation/vectors.js'
import { native } from '../../native/load.js'
import type { Chosen } from '../algorithms/algorithm.js'
import type { FederationConfig } from '../options.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import { rangeOf, type Segment } from '../protocol/segments.js'
import type { OwnState } from './own-state.js'

/** Under which name the residual of a vector is kept. */
const residualOf = (vector: string) => `residual-${vector}`

/** Whether what a message leaves out is kept for the next. */
const keepsRest = ({ codec, segments, errorFeedback }: FederationConfig['upload']) =>
  (codec !== 'f32' || segments > 1) && errorFeedback !== false

/** Whether clients of an algorithm keep what a message leaves out. */
export const feedsBack = (upload: FederationConfig['upload'], { algorithm }: Chosen): boolean =>
  keepsRest(upload) && algorithm.errorFeedback !== false

/** The stream of a vector's roundings: of the client's name, and of the vector's when it is not the adapter. */
const roundingStream = (client: string, vector: string) =>
  streamOf(vector === 'adapter' ? client : JSON.stringify([client, vector]))

/**
 * The message that carries one vector, or a segment of it.
 * @param own - where residuals are kept; the new one counts when the round has ended. Undefined: none are.
 */
export async function encodeUpload(
  vector: string,
  update: Float32Array,
  { client, round, seed }: { client: string; round: number; seed: number },
  upload: FederationConfig['upload'],
  own: OwnState | undefined,
  segment?: Segment,
): Promise<Uint8Array> {
  const { codec, density, bits } = upload
  const feedback = keepsRest(upload) ? own : undefined
  const before =
    feedback && ((await feedback.read(client, residualOf(vector), update.length)) ?? new Float32Array(update.length))
  const rounding = deriveSeed(seed, 'encoding', round, roundingStream(client, vector))
  const options = { codec, density, bits, seed: rounding, inPlace: true }
  const [begin, end] = segment === undefined ? [0, update.length] : rangeOf(update.length, segment)
  const part = (values: Float32Array) => values.subarray(begin, end)
  const { bytes } = native().encodeUpdate(part(update), before ? part(before) : null, options)
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
