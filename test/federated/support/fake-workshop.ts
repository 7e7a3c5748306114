/** Work without a model: what a client makes of a round depends on the task, and on all that it has kept of the rounds that counted. */
import type { WorkContext, Workshop } from '../../../src/federated/participant/workshop.js'
import type { Task } from '../../../src/federated/protocol/messages.js'
import { decodeVector, encodeVector } from '../../../src/federated/vector-message.js'

export const kept = 'residual-adapter'

export function fakeWorkshop(variation: Partial<Workshop> = {}): Workshop {
  return {
    open: async () => {},
    check: async () => {},
    async work(task: Task, _, { own, signal, onStep, mask }: WorkContext) {
      const { round, client } = task
      signal.throwIfAborted()
      onStep({ step: 1, steps: 1, loss: 1 / round })
      const given = decodeVector(task.vectors.adapter!)
      const before = (await own.read(client, kept)) ?? new Float32Array(given.length)
      const sum = given.map((value, i) => value + 0.5 * before[i]!)
      await own.write(client, kept, round, sum)
      const vectors = { adapter: sum, extra: sum.subarray(0, 1) }
      const answer = {
        version: 1 as const,
        ...{ round, client, rows: 3, steps: 1, tokens: 9, loss: 1 / round, numbers: { n: [round] } },
        vectors: { extra: encodeVector(vectors.extra), adapter: encodeVector(sum) },
      }
      if (mask !== undefined) {
        const { extra: _, ...masked } = vectors
        return { answer: { ...answer, vectors: {}, masked: mask(masked, answer.rows) }, vectors: masked, codec: 'f32' }
      }
      return { answer, vectors, codec: 'f32' }
    },
    beforeSending: async () => {},
    ...variation,
  }
}
