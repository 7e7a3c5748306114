/** How a client's vectors go under the mask of a secure aggregation, alike in a simulation and between machines. */
import { native } from '../../native/load.js'
import type { Vectors } from '../algorithms/algorithm.js'
import type { Answer, Task } from '../protocol/messages.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import { type Masking, maskVector, type Sharing } from '../protocol/secagg/client.js'
import { sized } from '../protocol/secagg/setup.js'

/** What is sent, and the state to go on from. */
export interface MaskedUpdate {
  masked: NonNullable<Answer['masked']>
  state: Masking
}

/**
 * Vectors one after the other in the order of their names, masked by a whole weight. The same vectors, state and message give the same bytes.
 * @param inbox - the server's message that answered the shares.
 * @param weight - what the vectors are summed with; unused where all count alike.
 * @throws FedloraError as `maskVector`.
 */
export function maskUpdate(
  sharing: Sharing,
  inbox: unknown,
  { client, round, seed }: Pick<Task, 'client' | 'round' | 'seed'>,
  vectors: Readonly<Vectors>,
  weight: number,
): MaskedUpdate {
  const names = Object.keys(vectors).sort()
  const layout = names.map((name): [string, number] => [name, vectors[name]!.length])
  const values = new Float32Array(layout.reduce((sum, [, length]) => sum + length, 0))
  let at = 0
  for (const [name, length] of layout) {
    values.set(vectors[name]!, at)
    at += length
  }
  const update = {
    values,
    seed: deriveSeed(seed, 'encoding', round, streamOf(client)),
    ...(sharing.setup.mostWeight !== null && { weight }),
  }
  const { state, message } = maskVector(sized(sharing, values.length), inbox, update, native())
  return { masked: { vectors: layout, message }, state }
}
