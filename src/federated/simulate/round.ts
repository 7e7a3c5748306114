/**
 * One round: distribute → client work → aggregate. The server's step and the checkpoint are the caller's.
 *
 * Determinism: the cohort, every seed and every residual are functions of (seed, round, client), and the aggregator adds
 * exactly, so neither the order in which clients end nor how many work at a time changes a bit of the mean.
 */
import type { Adapter } from '../../model/adapter.js'
import { native } from '../../native/load.js'
import { Stopwatch } from '../../run/stopwatch.js'
import { alone, Lockstep } from '../../training/stepper.js'
import type { ResidualStore } from '../client/residual-store.js'
import { encodeUpload } from '../client/upload.js'
import { trainLocally } from '../client/work.js'
import type { ClientReport, RoundEvent } from '../events.js'
import type { FederationConfig } from '../options.js'
import type { Answer } from '../protocol/messages.js'
import { planRound } from '../protocol/plan.js'
import { deriveSeed } from '../protocol/random.js'
import type { Broadcaster } from '../server/broadcast.js'
import type { Collector } from '../server/collect.js'
import { figuresOf } from '../server/figures.js'
import type { Clients } from './clients.js'
import type { Fidelity } from './fidelity.js'
import { runPool, takeTurns } from './pool.js'

/** What a federation holds on to between rounds; none of it grows with clients or rounds. */
export interface RoundTools {
  config: FederationConfig
  clients: Clients
  /** One adapter for each client at work at the same time. */
  slots: readonly Adapter[]
  /** Tokens of a pass that several clients share. */
  mostTokens: number
  broadcaster: Broadcaster
  collector: Collector
  fidelity: Fidelity
  /** Absent without error feedback. */
  residuals: ResidualStore | undefined
}

export interface RoundOutcome {
  /** Until the next round; null when nobody sent an update. */
  mean: Float32Array | null
  event: RoundEvent
}

/** An answer as it is reported. */
function reportOf({ message, ...answer }: Answer, name: string): ClientReport {
  return { ...answer, name, bytesUp: message?.length ?? 0 }
}

/** Runs round `round` (from 1) from the server's adapter vector, which is not changed. */
export async function runRound(
  tools: RoundTools,
  adapter: Float32Array,
  round: number,
  learningRate: number,
  signal: AbortSignal,
  onClient: (report: ClientReport & { tokensPerSecond: number }) => void,
): Promise<RoundOutcome> {
  const { config, clients, slots, collector, fidelity, residuals } = tools
  const { seed, cohort, absence, upload } = config
  const watch = new Stopwatch(['train', 'encode', 'aggregate'])
  const plan = planRound({ clients: clients.length, cohort, absence, seed }, round)
  const download = tools.broadcaster.send(adapter)
  collector.reset()
  fidelity.reset()

  const inTurn = takeTurns()
  const team = slots.length > 1 ? new Lockstep(slots.length, tools.mostTokens) : undefined
  const reports = new Map<number, ClientReport>()
  const work = async (client: number, slot: Adapter): Promise<void> => {
    const data = clients.data(client)
    const name = clients.name(client)
    const rows = data.length
    const place = { name, data, adapter: slot, stepper: team ?? alone, signal }
    const trainingSeed = deriveSeed(seed, 'training', round, client)
    const task = { round, client, adapter: download.adapter, learningRate, seed: trainingSeed }
    const { update, seconds, loss, steps, tokens } = await trainLocally(place, task, config.local)
    watch.add('train', seconds)
    const answer: Answer = { client, rows, loss, steps, tokens, message: null }
    // Without a supervised token there was nothing to learn: no message, and the residual waits for a later round.
    if (loss !== null) {
      await inTurn(async () => {
        const rounding = deriveSeed(seed, 'encoding', round, client)
        answer.message = await watch.time('encode', () => encodeUpload(update, task, upload, rounding, residuals))
        await watch.time('aggregate', () => {
          collector.add(answer)
          fidelity.add(update, rows)
        })
      })
    }
    const report = reportOf(answer, name)
    reports.set(client, report)
    onClient({ ...report, tokensPerSecond: seconds > 0 ? tokens / seconds : 0 })
  }
  await runPool(plan.participants, slots, work, () => team?.leave())

  const mean = await watch.time('aggregate', () => collector.mean())
  const cosine = mean && (await watch.time('aggregate', () => fidelity.cosine(mean)))
  const ordered = plan.participants.map((client) => reports.get(client)!)
  const figures = figuresOf(ordered, plan.cohort.length, download.bytes, adapter.byteLength, mean)
  const seconds = { ...watch.seconds, total: watch.total }
  return {
    mean,
    event: {
      type: 'round',
      round,
      rounds: config.rounds,
      learningRate,
      clients: ordered,
      dropped: plan.dropped,
      ...figures,
      cosine,
      seconds,
      tokensPerSecond: seconds.train > 0 ? figures.tokens / seconds.train : 0,
      peakBytes: native().processMemory().peakBytes,
    },
  }
}
