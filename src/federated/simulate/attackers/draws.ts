/** What attackers draw: by seed, round, name of the client and of the vector. */
import { addDirections } from '../../../aggregation/normals.js'
import { norm } from '../../../aggregation/vectors.js'
import type { Sending } from '../../client/work.js'
import { deriveSeed, streamOf } from '../../protocol/random.js'

/** Independent normals whose norm is `scale` times that of the update, in expectation of squares. */
export async function noiseLike(
  update: Float32Array,
  scale: number,
  { client, round, seed, name }: Sending & { name: string },
): Promise<Float32Array> {
  const values = new Float32Array(update.length)
  const deviation = (scale * norm(update)) / Math.sqrt(update.length)
  await addDirections(
    values,
    [deriveSeed(seed, 'attack', round, streamOf(JSON.stringify([client, name])))],
    [deviation],
  )
  return values
}
