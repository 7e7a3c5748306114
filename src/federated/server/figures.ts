/** What a round reports, from its answers and its mean; and the sums over all rounds. */
import { z } from 'zod'
import type { ClientReport, RoundEvent } from '../events.js'

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

/** √Σxᵢ², in double. */
function norm(values: Float32Array): number {
  let squares = 0
  for (let i = 0; i < values.length; i++) squares += values[i]! * values[i]!
  return Math.sqrt(squares)
}

type Counted =
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
 * @param clients - of those that answered.
 * @param asked - clients that received the adapter, in messages of `bytesDown` each.
 * @param raw - bytes of the adapter as float32.
 * @param mean - of the updates; null when nobody sent one.
 */
export function figuresOf(
  clients: readonly ClientReport[],
  asked: number,
  bytesDown: number,
  raw: number,
  mean: Float32Array | null,
): Pick<RoundEvent, Counted> {
  const senders = clients.filter(({ loss }) => loss !== null)
  const bytesUp = sum(clients, (client) => client.bytesUp)
  const bytesUpRaw = senders.length * raw
  const rows = sum(senders, (client) => client.rows)
  const sent = senders.length > 0
  return {
    loss: sent ? sum(senders, (client) => client.loss! * client.rows) / rows : null,
    tokens: sum(clients, (client) => client.tokens),
    bytesUp,
    bytesUpRaw,
    bytesDown: bytesDown * asked,
    bytesDownRaw: raw * asked,
    compressionRatio: sent ? bytesUpRaw / bytesUp : null,
    updateNorm: mean === null ? 0 : norm(mean),
  }
}
