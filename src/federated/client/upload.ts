/** How an update leaves a client: what earlier messages left out is added, and what this one leaves out is kept. */
import { native } from '../../native/load.js'
import type { Chosen } from '../algorithms/algorithm.js'
import type { FederationConfig } from '../options.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import type { OwnState } from './own-state.js'

/** Under which name the residual of a vector is kept. */
const residualOf = (vector: string) => `residual-${vector}`

/** Whether what a codec leaves out is kept for the next message. */
const keepsRest = ({ codec, errorFeedback }: FederationConfig['upload']) => codec !== 'f32' && errorFeedback !== false

/** Whether clients of an algorithm keep what a codec leaves out. */
export const feedsBack = (upload: FederationConfig['upload'], { algorithm }: Chosen): boolean =>
  keepsRest(upload) && algorithm.errorFeedback !== false

/** The stream of a vector's roundings: of the client's name, and of the vector's when it is not the adapter. */
const roundingStream = (client: string, vector: string) =>
  streamOf(vector === 'adapter' ? client : JSON.stringify([client, vector]))

/**
 * The message that carries one vector.
 * @param own - where residuals are kept; the new one counts when the round has ended. Undefined: none are.
 */
export async function encodeUpload(
  vector: string,
  update: Float32Array,
  { client, round, seed }: { client: string; round: number; seed: number },
  upload: FederationConfig['upload'],
  own: OwnState | undefined,
): Promise<Uint8Array> {
  const { codec, density, bits } = upload
  const feedback = keepsRest(upload) ? own : undefined
  const before =
    feedback && ((await feedback.read(client, residualOf(vector), update.length)) ?? new Float32Array(update.length))
  const rounding = deriveSeed(seed, 'encoding', round, roundingStream(client, vector))
  const options = { codec, density, bits, seed: rounding, inPlace: true }
  const { bytes, residual } = native().encodeUpdate(update, before ?? null, options)
  if (residual !== null) await feedback?.write(client, residualOf(vector), round, residual)
  return bytes
}
