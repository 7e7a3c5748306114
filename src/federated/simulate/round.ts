/**
 * One round: distribute → client work → aggregate. The server's step and the checkpoint are the caller's.
 *
 * Determinism: the cohort, every seed and every residual are functions of (seed, round, client), and the aggregator adds
 * exactly, so neither the order in which clients end nor how many work at a time changes a bit of the mean.
 */
import type { Adapter } from '../../model/adapter.js'
import type { NativeAggregator } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { alone, Lockstep } from '../../training/stepper.js'
import { encodeVector, type ResidualStore } from '../client/residual-store.js'
import { trainLocally } from '../client/work.js'
import type { ClientReport, RoundEvent } from '../events.js'
import type { FederationConfig } from '../options.js'
import { planRound } from '../protocol/plan.js'
import { deriveSeed } from '../protocol/random.js'
import type { Clients } from './clients.js'
import { runPool, takeTurns } from './pool.js'

/** What a federation holds on to between rounds; none of it grows with clients or rounds. */
export interface RoundTools {
  config: FederationConfig
  clients: Clients
  /** One adapter for each client at work at the same time. */
  slots: readonly Adapter[]
  /** Tokens of a pass that several clients share. */
  mostTokens: number
  /** Mean of what was sent. */
  sent: NativeAggregator
  /** Mean of the updates before encoding; absent where encoding loses nothing. */
  exact: NativeAggregator | undefined
  /** Absent without error feedback. */
  residuals: ResidualStore | undefined
  signal: AbortSignal
  onClient(report: ClientReport & { tokensPerSecond: number }): void
}

export interface RoundOutcome {
  /** Null when nobody sent an update. */
  mean: Float32Array | null
  event: RoundEvent
}

function norm(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  return Math.sqrt(sum)
}

/** The adapter as clients receive it, and the bytes of one such message. */
function broadcast(adapter: Float32Array, codec: 'f32' | 'bf16'): { start: Float32Array; bytes: number } {
  const options = { codec, density: 1, bits: 8, seed: 0 } as const
  const { bytes } = native().encodeUpdate(adapter, null, options)
  return { start: codec === 'f32' ? adapter : native().decodeUpdate(bytes), bytes: bytes.length }
}

/** Runs round `round` (from 1) from the server's adapter vector, which is not changed. */
export async function runRound(
  tools: RoundTools,
  adapter: Float32Array,
  round: number,
  learningRate: number,
): Promise<RoundOutcome> {
  const { config, clients, slots, sent, exact, residuals } = tools
  const { seed, upload } = config
  const roundStarted = performance.now()
  const plan = planRound({ clients: clients.length, cohort: config.cohort, absence: config.absence, seed }, round)
  const download = broadcast(adapter, config.download.codec)
  const reports = new Map<number, ClientReport>()
  const seconds = { train: 0, encode: 0, aggregate: 0, total: 0 }
  const timed = async <R>(phase: 'encode' | 'aggregate', work: () => R | Promise<R>): Promise<R> => {
    const started = performance.now()
    const result = await work()
    seconds[phase] += (performance.now() - started) / 1000
    return result
  }
  sent.reset()
  exact?.reset()

  const inTurn = takeTurns()
  const team = slots.length > 1 ? new Lockstep(slots.length, tools.mostTokens) : undefined
  const send = async (client: number, update: Float32Array, rows: number): Promise<Uint8Array> => {
    const bytes = await timed('encode', async () => {
      const message = native().encodeUpdate(update, (await residuals?.read(client)) ?? null, {
        codec: upload.codec,
        density: upload.density,
        bits: upload.bits,
        seed: deriveSeed(seed, 'encoding', round, client),
        inPlace: true,
      })
      if (residuals && message.residual) await residuals.write(client, round, message.residual)
      return message.bytes
    })
    await timed('aggregate', () => {
      sent.add(bytes, rows)
      exact?.add(encodeVector(update), rows)
    })
    return bytes
  }
  const work = async (client: number, slot: Adapter): Promise<void> => {
    const data = clients.data(client)
    const name = clients.name(client)
    const local = await trainLocally(
      slot,
      {
        client: name,
        round,
        start: download.start,
        data,
        learningRate,
        seed: deriveSeed(seed, 'training', round, client),
        signal: tools.signal,
      },
      config.local,
      team ?? alone,
    )
    seconds.train += local.seconds
    const { loss, steps, tokens } = local
    // Without a supervised token there was nothing to learn: no message, no weight, and the residual waits for a later round.
    const bytesUp = loss === null ? 0 : (await inTurn(() => send(client, local.update, data.length))).length
    const report = { client, name, rows: data.length, loss, steps, tokens, bytesUp }
    reports.set(client, report)
    tools.onClient({ ...report, tokensPerSecond: local.seconds > 0 ? tokens / local.seconds : 0 })
  }
  await runPool(plan.participants, slots, work, () => team?.leave())

  const ordered = plan.participants.map((client) => reports.get(client)!)
  const tokens = ordered.reduce((sum, report) => sum + report.tokens, 0)
  const bytesUp = ordered.reduce((sum, report) => sum + report.bytesUp, 0)
  const senders = ordered.filter((report) => report.loss !== null)
  const rows = senders.reduce((sum, report) => sum + report.rows, 0)
  const bytesUpRaw = senders.length * adapter.byteLength
  const answered = senders.length > 0
  const mean = answered ? await timed('aggregate', () => sent.mean()) : null
  const cosine = mean && (exact ? await timed('aggregate', () => native().cosine(mean, exact.mean())) : 1)
  seconds.total = (performance.now() - roundStarted) / 1000
  return {
    mean,
    event: {
      type: 'round',
      round,
      rounds: config.rounds,
      loss: answered ? senders.reduce((sum, report) => sum + report.loss! * report.rows, 0) / rows : null,
      learningRate,
      clients: ordered,
      dropped: plan.dropped,
      bytesUp,
      bytesDown: download.bytes * plan.cohort.length,
      bytesUpRaw,
      bytesDownRaw: adapter.byteLength * plan.cohort.length,
      compressionRatio: answered ? bytesUpRaw / bytesUp : null,
      cosine,
      updateNorm: mean ? norm(mean) : 0,
      tokens,
      seconds,
      tokensPerSecond: seconds.train > 0 ? tokens / seconds.train : 0,
      peakBytes: native().processMemory().peakBytes,
    },
  }
}
