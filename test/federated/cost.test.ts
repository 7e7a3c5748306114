/** What it cost to reach a loss: sums by hand over a federation's events, with a clock and without, of a list and of a folder. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { costLine, timeLine } from '../../src/cli/cost-report.js'
import type { FederationEvent, RoundEvent } from '../../src/federated/events.js'
import { costToTarget, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { federation, type Variation } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('cost')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

async function eventsOf(variation: Variation): Promise<FederationEvent[]> {
  const run = simulate(
    await federation(model, { evaluate: { data: await tokenRows(4, 263, 9), every: 1 }, ...variation }),
  )
  const events: FederationEvent[] = []
  for await (const event of run) events.push(event)
  ;(await run).adapter.dispose()
  return events
}

const folder = join(root, 'run')
const timed = await eventsOf({ clock: { over: 1.5 }, absence: 0, outputDir: folder })
const rounds = timed.filter((event): event is RoundEvent => event.type === 'round')
const losses = timed.flatMap((event) => (event.type === 'evaluation' ? [event.loss] : []))

t.test('sums up to the first evaluation that is good enough', async (t) => {
  // The same run, had every round made it better.
  const better = losses.map((_, i) => losses.length - i)
  let told = 0
  const improving = timed.map((event) => (event.type === 'evaluation' ? { ...event, loss: better[told++]! } : event))
  for (const [events, all, loss] of [
    [timed, losses, losses[0]!],
    [improving, better, better[2]!],
    [improving, better, better.at(-1)!],
  ] as const) {
    const last = all.findIndex((one) => one <= loss)
    const cost = costToTarget(events, { loss })!
    const until = rounds.slice(0, last + 1)
    const sum = (of: (round: RoundEvent) => number) => until.reduce((all, round) => all + of(round), 0)
    t.equal(cost.round, last + 1)
    t.equal(cost.loss, all[last])
    t.equal(cost.seconds, until.at(-1)!.clock!.end)
    t.equal(
      cost.bytesUp,
      sum(({ clock }) => clock!.bytesUp),
    )
    t.ok(cost.bytesUp > sum(({ bytesUp }) => bytesUp), 'answers that came too late were sent, too')
    t.equal(
      cost.flop,
      sum(({ flop }) => flop!),
    )
    const hours = sum(({ clock }) => (clock!.seconds.download + clock!.seconds.compute + clock!.seconds.upload) / 3600)
    t.ok(Math.abs(cost.clientHours! - hours) <= 1e-12 * hours)
  }
  t.same(
    costToTarget(folder, { loss: losses[0]! }),
    costToTarget(timed, { loss: losses[0]! }),
    'a folder says the same',
  )
  t.equal(costToTarget(timed, { loss: Math.min(...losses) - 1e-6 }), null)
})

t.test('FLOP are 4P + 6A a token, of all that was trained', async (t) => {
  const { hidden, vocabulary } = model.config
  using adapter = model.createAdapter({ rank: 4, alpha: 8, seed: 2 })
  const linears = model.handle.use('test').linears()
  const base = linears.reduce((sum, { shape }) => sum + shape[0] * shape[1], hidden * vocabulary)
  for (const { flop, clock, tokens } of rounds) {
    t.equal(flop, (4 * base + 6 * adapter.length) * clock!.tokens)
    t.ok(clock!.tokens > tokens)
  }
  const layer = 4 * hidden * hidden
  t.ok(base > layer, `${linears.length} matrices`)
})

t.test('without a clock there is no time; what is no target and no events is refused', async (t) => {
  const events = await eventsOf({ rounds: 2 })
  const cost = costToTarget(events, { loss: 1e9 })!
  t.same([cost.seconds, cost.clientHours, cost.joules], [null, null, null])
  const [first] = events.filter((event): event is RoundEvent => event.type === 'round')
  t.same([cost.round, cost.bytesUp, cost.bytesDown], [1, first!.bytesUp, first!.bytesDown])
  const refused = (given: unknown, target: unknown, message: RegExp) =>
    t.throws(() => costToTarget(given as never, target as never), { code: 'E_ARGUMENT', message })
  for (const target of [{ loss: Number.NaN }, { loss: '2' }, {}, null, undefined, 3])
    refused(events, target, /loss: got/)
  for (const given of [null, 3, undefined, {}]) refused(given, { loss: 1 }, /events: got/)
  refused([null], { loss: 1 }, /among them/)
  refused([3], { loss: 1 }, /among them/)
  refused([], { loss: 1 }, /no event measures/)
  refused(rounds, { loss: 1 }, /no event measures/)
  t.throws(() => costToTarget(join(root, 'none'), { loss: 1 }), { code: /E_MISSING|E_IO/ })
  mkdirSync(join(root, 'broken'))
  writeFileSync(join(root, 'broken', 'events.ndjson'), 'no json\n')
  t.throws(() => costToTarget(join(root, 'broken'), { loss: 1 }), { code: 'E_FORMAT' })
})

t.test('in words', async (t) => {
  const loss = losses[0]!
  t.match(
    costLine(loss, costToTarget(timed, { loss })),
    /reached after round 1 · virtual time \d+s · up .* · .* FLOP · .* client-hours/,
  )
  t.equal(costLine(1, null), 'held-out loss 1: not reached')
  t.match(timeLine(rounds[0]!.clock!), /^virtual time 0s → \d+s · 4 answers · 2 late · .* J$/)
})
