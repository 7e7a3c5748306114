/** The end of a round: the server makes its step of what has come, and the round is reported. */
import { native } from '../../native/load.js'
import type { Stopwatch } from '../../run/stopwatch.js'
import type { RoundEvent, RoundTime } from '../events.js'
import { figuresOf } from '../figures.js'
import { rateOf } from '../rate.js'
import type { Tally } from './tally.js'
import type { RoundTools } from './tools.js'

/** What a round has come to before its step. */
export interface RoundEnd {
  round: number
  watch: Stopwatch<'train' | 'encode' | 'aggregate'>
  tally: Tally
  /** Bytes of all messages to clients, as sent and as float32. */
  down: { bytes: number; raw: number }
  /** Why there is no step, where the round says so. */
  few: string | undefined
  /** Indices of those who have worked, whether it counts or not. */
  worked: readonly number[]
  /** Indices of those who were asked and do not count. */
  dropped: readonly number[]
  /** Whether the server's product can be set beside those of the clients. */
  measures: boolean
  /** Told whether the round was abandoned; undefined without a clock. */
  time(abandoned: boolean): Promise<RoundTime> | undefined
}

/** Gives the round's event, and the indices of those whose work counted. */
export async function closeRound(
  { config, clients, server, fidelity, errors, own, flopPerToken, budget, masked }: RoundTools,
  { round, watch, tally, down, few, worked, dropped, measures, time: timeOf }: RoundEnd,
): Promise<{ event: RoundEvent; counted: number[] }> {
  const learningRate = rateOf(config, round, config.local.learningRate)
  const clip = server.clip
  await budget?.spend(round, worked)
  const { answers, measurements, means, selected, abandoned } = await watch.time('aggregate', () => {
    masked?.end()
    return server.finish(round, learningRate, few ?? server.masked?.abandoned)
  })
  const clock = await timeOf(abandoned !== undefined)
  await (abandoned === undefined ? own?.endRound() : own?.dropRound())
  const averaged = answers.length > 0 && config.robust === undefined
  const cosine = !averaged ? null : await watch.time('aggregate', () => fidelity.cosine(means))
  const aggregationError = measures ? await watch.time('aggregate', () => errors.measure(server, answers)) : null
  const { counted, refused } = tally
  const reports = counted.map(({ report }) => report)
  const chosen = counted.filter(({ report }) => selected?.includes(report.name))
  const placesOf = (indices: readonly number[]) => indices.map((index) => clients.place(index)).sort((a, b) => a - b)
  const protocol = masked?.report
  const downAll = { ...down, bytes: down.bytes + (protocol?.bytesDown ?? 0) }
  const figures = figuresOf(reports, downAll, means, protocol?.bytesUp)
  const seconds = { ...watch.seconds, total: watch.total }
  const event: RoundEvent = {
    type: 'round',
    round,
    rounds: config.rounds,
    learningRate,
    clients: reports.map(({ bytesUpRaw: _, ...report }) => report).sort((a, b) => a.client - b.client),
    dropped: placesOf(dropped).filter((place) => !refused.some(({ client }) => client === place)),
    ...(refused.length > 0 && { refused: [...refused] }),
    ...figures,
    flop: (clock?.tokens ?? figures.tokens) * flopPerToken,
    cosine,
    aggregationError,
    measurements,
    ...(selected !== undefined && { selected: placesOf(chosen.map(({ index }) => index)) }),
    ...(budget !== undefined && { privacy: budget.report(clip) }),
    ...(protocol !== undefined && { secureAggregation: protocol }),
    ...(abandoned !== undefined && { abandoned }),
    ...(clock !== undefined && { clock }),
    seconds,
    tokensPerSecond: seconds.train > 0 ? figures.tokens / seconds.train : 0,
    peakBytes: native().processMemory().peakBytes,
  }
  const learners = abandoned === undefined ? counted.filter(({ report }) => report.loss !== null) : []
  return { event, counted: learners.map(({ index }) => index) }
}
