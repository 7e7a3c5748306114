/** What a round reports, from its answers and its mean; and the sums over all rounds. */
import { z } from 'zod'
import { dot } from '../aggregation/vectors.js'
import type { Vectors } from './algorithms/algorithm.js'
import type { ClientReport, RoundEvent } from './events.js'

const count = z.int().min(0)

export const totalsSchema = z.strictObject({
  bytesUp: count,
  bytesUpRaw: count,
  bytesDown: count,
  bytesDownRaw: count,
  tokens: count,
  steps: count,
  trainSeconds: z.number().min(0),
  /** Mean loss of the last round in which somebody sent an update. */
  loss: z.number().nullable(),
})

/** Sums over all rounds so far. */
export type Totals = z.output<typeof totalsSchema>

export const noTotals: Readonly<Totals> = {
  bytesUp: 0,
  bytesUpRaw: 0,
  bytesDown: 0,
  bytesDownRaw: 0,
  tokens: 0,
  steps: 0,
  trainSeconds: 0,
  loss: null,
}

/** The sums after one more round. */
export function addRound(totals: Totals, round: RoundEvent): Totals {
  return {
    bytesUp: totals.bytesUp + round.bytesUp,
    bytesUpRaw: totals.bytesUpRaw + round.bytesUpRaw,
    bytesDown: totals.bytesDown + round.bytesDown,
    bytesDownRaw: totals.bytesDownRaw + round.bytesDownRaw,
    tokens: totals.tokens + round.tokens,
    steps: totals.steps + sum(round.clients, ({ steps }) => steps),
    trainSeconds: totals.trainSeconds + round.seconds.train,
    loss: round.loss ?? totals.loss,
  }
}

function sum<T>(list: readonly T[], of: (item: T) => number): number {
  return list.reduce((total, item) => total + of(item), 0)
}

/** A client's report, and the bytes of what it sent as float32. */
export type Counted = ClientReport & { bytesUpRaw: number }

type Figures =
  | 'loss'
  | 'tokens'
  | 'bytesUp'
  | 'bytesUpRaw'
  | 'bytesDown'
  | 'bytesDownRaw'
  | 'compressionRatio'
  | 'updateNorm'

/**
 * The figures of a round.
 * @param clients - those that answered, in the order of their names: it decides the last bit of the loss.
 * @param down - bytes of all messages to clients, as sent and as float32.
 * @param means - of the vectors that were averaged.
 * @param bytesBeside - that clients sent beside their answers.
 */
export function figuresOf(
  clients: readonly Counted[],
  down: { bytes: number; raw: number },
  means: Readonly<Vectors>,
  bytesBeside = 0,
): Pick<RoundEvent, Figures> {
  const senders = clients.filter(({ loss }) => loss !== null)
  const bytesUp = sum(clients, (client) => client.bytesUp) + bytesBeside
  const bytesUpRaw = sum(senders, (client) => client.bytesUpRaw)
  const rows = sum(senders, (client) => client.rows)
  const sent = senders.length > 0
  return {
    loss: sent ? sum(senders, (client) => client.loss! * client.rows) / rows : null,
    tokens: sum(clients, (client) => client.tokens),
    bytesUp,
    bytesUpRaw,
    bytesDown: down.bytes,
    bytesDownRaw: down.raw,
    compressionRatio: sent && bytesUp > 0 ? bytesUpRaw / bytesUp : null,
    updateNorm: Math.sqrt(sum(Object.values(means), (mean) => dot(mean, mean))),
  }
}
