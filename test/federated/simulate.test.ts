/** A federation over a golden model: what changes bits, what must not, and what is counted. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAggregator } from '../../src/aggregation/aggregator.js'
import { encodeUpdate } from '../../src/compression/codec.js'
import type { FederationEvent, RoundEvent } from '../../src/federated/events.js'
import { type SimulateOptions, simulate, split } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder, relativeError } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'
import { eventsOf, federation, lora, makeClients, timeless, type Variation } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('federation')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

async function vectorOf(options: SimulateOptions): Promise<{ vector: Float32Array; events: FederationEvent[] }> {
  const events: FederationEvent[] = []
  const run = simulate(options)
  for await (const event of run) events.push(event)
  using adapter = (await run).adapter
  return { vector: adapter.vector(), events }
}

const rounds = (events: FederationEvent[]) => events.filter((event): event is RoundEvent => event.type === 'round')
const reference = await vectorOf(await federation(model))

t.test('the order and number of clients at work, and of threads, change no bit', async (t) => {
  const same = async (variation: Variation, name: string) => {
    const other = await vectorOf(await federation(model, variation))
    t.ok(bytesOf(other.vector).equals(bytesOf(reference.vector)), name)
    t.same(timeless(rounds(other.events)), timeless(rounds(reference.events)), `${name}: events`)
  }
  await same({}, 'again')
  await same({ concurrency: 3 }, 'three at a time')
  await same({ concurrency: 6, outputDir: join(root, 'concurrent') }, 'all at a time, with a run folder')
  using threaded = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 2 })
  const other = await vectorOf(await federation(threaded))
  t.ok(bytesOf(other.vector).equals(bytesOf(reference.vector)), 'two threads')
  const seeded = await vectorOf(await federation(model, { seed: 12 }))
  t.notOk(bytesOf(seeded.vector).equals(bytesOf(reference.vector)), 'canary: another seed is another run')
})

t.test('one round is FedAvg of what train() gives each client', async (t) => {
  const clients = await makeClients(3)
  const { vector, events } = await vectorOf({
    model,
    adapter: lora,
    clients,
    rounds: 1,
    local: { steps: 3, batchSize: 2, learningRate: 1e-2, shuffle: false },
    serverOptimizer: { name: 'none', learningRate: 0.5 },
  })
  using initial = model.createAdapter(lora)
  const start = initial.vector()
  const mean = new Float64Array(start.length)
  const rows = clients.reduce((sum, client) => sum + client.length, 0)
  for (const client of clients) {
    using alone = initial.clone()
    const options = { maxSteps: 3, batchSize: 2, learningRate: 1e-2, shuffle: false, schedule: 'constant' } as const
    await train(alone, client, options)
    const trained = alone.vector()
    for (const [i, value] of trained.entries()) mean[i]! += ((value - start[i]!) * client.length) / rows
  }
  const expected = Float32Array.from(start, (value, i) => value + 0.5 * mean[i]!)
  t.ok(relativeError(vector, expected) < 1e-6, 'the mean, weighted by rows, half of it applied')
  const unweighted = Float32Array.from(start, (value, i) => value + mean[i]!)
  t.notOk(relativeError(vector, unweighted) < 1e-6, 'canary: another server rate is told apart')
  const [round] = rounds(events)
  t.equal(round!.cosine, 1, 'nothing is lost by f32')
  t.same(
    round!.clients.map((client) => client.rows),
    clients.map((client) => client.length),
  )
})

t.test('bytes are those of the messages; the mean of what was sent stays near the exact one', async (t) => {
  using adapter = model.createAdapter(lora)
  const raw = adapter.length * 4
  for (const upload of [
    { codec: 'f32' },
    { codec: 'bf16' },
    { codec: 'int8' },
    { codec: 'int4' },
    { codec: 'topk', density: 1 / 8, bits: 8 },
  ] as const) {
    const { events } = await vectorOf(await federation(model, { upload, rounds: 3, absence: 0 }))
    const message = encodeUpdate(adapter.vector(), upload).bytes.length
    for (const round of rounds(events)) {
      t.equal(round.clients.length, 4)
      t.equal(round.bytesUpRaw, 4 * raw)
      t.equal(
        round.bytesUp,
        round.clients.reduce((sum, client) => sum + client.bytesUp, 0),
      )
      if (upload.codec !== 'topk') t.equal(round.bytesUp, 4 * message)
      t.equal(round.compressionRatio, round.bytesUpRaw / round.bytesUp)
      t.ok(round.bytesDown >= round.bytesDownRaw && round.bytesDownRaw === 4 * raw, 'f32 broadcast')
    }
    // How much is lost is computed by hand in round-figures.test.ts.
    for (const { cosine } of rounds(events)) {
      t.ok(upload.codec === 'f32' ? cosine === 1 : cosine! > 0 && cosine! < 1, `${upload.codec}: cosine ${cosine}`)
    }
  }
  const { events } = await vectorOf(await federation(model, { download: { codec: 'bf16' }, rounds: 1 }))
  const [round] = rounds(events)
  t.ok(round!.bytesDown < 0.51 * round!.bytesDownRaw, 'a bf16 broadcast is half as large')
})

t.test('error feedback: what is left out of one round is sent later', async (t) => {
  const upload = { codec: 'topk', density: 1 / 32, bits: 8 } as const
  const base = { rounds: 8, cohort: 1, absence: 0, serverOptimizer: 'none' } as const
  const exact = await vectorOf(await federation(model, { ...base, upload: { codec: 'f32' } }))
  const kept = await vectorOf(await federation(model, { ...base, upload }))
  const lost = await vectorOf(await federation(model, { ...base, upload: { ...upload, errorFeedback: false } }))
  using initial = model.createAdapter(lora)
  const start = initial.vector()
  const moved = (vector: Float32Array) => vector.map((value, i) => value - start[i]!)
  const keptError = relativeError(moved(kept.vector), moved(exact.vector))
  const lostError = relativeError(moved(lost.vector), moved(exact.vector))
  t.ok(keptError < lostError, `with ${keptError}, without ${lostError}`)
})

t.test('evaluations: after every so many rounds, and once at the end', async (t) => {
  const data = await tokenRows(4, 263, 9)
  const evaluated = async (every: number | undefined, rounds: number) => {
    const { events } = await vectorOf(await federation(model, { rounds, evaluate: { data, ...(every && { every }) } }))
    return events.flatMap((event) => (event.type === 'evaluation' ? [event.round] : []))
  }
  t.same(await evaluated(2, 5), [2, 4, 5])
  t.same(await evaluated(2, 4), [2, 4], 'not twice at the end')
  t.same(await evaluated(undefined, 2), [2])
})

t.test('rounds that nobody answers change nothing', async (t) => {
  const { vector, events } = await vectorOf(
    await federation(model, { absence: 0.999999, rounds: 2, serverOptimizer: 'adam', evaluate: undefined }),
  )
  using initial = model.createAdapter(lora)
  t.ok(bytesOf(vector).equals(bytesOf(initial.vector())))
  for (const round of rounds(events)) {
    t.match(round, { loss: null, cosine: null, compressionRatio: null, bytesUp: 0, clients: [] })
    t.equal(round.dropped.length, 4)
    t.ok(round.bytesDown > 0, 'they did receive the adapter')
  }
})

t.test('baselines side by side, with the same budget of steps', async (t) => {
  const folder = join(root, 'baselines')
  const run = simulate(
    await federation(model, { baselines: ['global', 'local'], outputDir: folder, rounds: 3, absence: 0 }),
  )
  const result = await run
  using _ = result.adapter
  t.equal(result.baselines.length, 1 + 6)
  for (const baseline of result.baselines) {
    t.equal(baseline.steps, 3 * 2)
    t.ok(baseline.evaluation!.loss > 0)
    t.ok(existsSync(join(baseline.adapter!, 'adapter_model.safetensors')))
  }
  t.same(
    result.baselines.map((baseline) => baseline.name),
    ['global', ...Array.from({ length: 6 }, (_, i) => `client-${i}`)],
  )
  t.same(readdirSync(folder).sort(), [
    'adapter',
    'baselines',
    'checkpoints',
    'config.json',
    'events.ndjson',
    'initial',
    'own',
  ])
  t.match(eventsOf(folder).at(-1), { type: 'done', rounds: 3 })
})

t.test('a finished baseline is not run again; a damaged report of one is refused with its field', async (t) => {
  const folder = join(root, 'damaged-baseline')
  const options: Variation = { baselines: ['local'], rounds: 1, absence: 0 }
  const first = await simulate(await federation(model, { ...options, outputDir: folder }))
  first.adapter.dispose()
  const again = await simulate(await federation(model, { ...options, resumeFrom: folder }))
  again.adapter.dispose()
  t.same(again.baselines, first.baselines)
  const reports = (readdirSync(join(folder, 'baselines'), { recursive: true }) as string[]).filter((name) =>
    name.endsWith('result.json'),
  )
  t.equal(reports.length, 6)
  const file = join(folder, 'baselines', reports[0]!)
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), steps: 'two' }))
  await t.rejects(simulate(await federation(model, { ...options, resumeFrom: folder })), {
    code: 'E_CHECKPOINT',
    message: /result\.json': steps: .*remove the file/,
  })
})

t.test('break stops the run, keeps the last complete round, and the run goes on from there', async (t) => {
  const folder = join(root, 'left')
  using adapter = model.createAdapter(lora)
  const run = simulate(await federation(model, { adapter, outputDir: folder }))
  for await (const event of run) if (event.type === 'round' && event.round === 2) break
  const left = await run
  t.ok(left.rounds >= 2 && left.rounds < 5, `left after round ${left.rounds}`)
  t.ok(existsSync(join(folder, 'adapter', 'adapter_model.safetensors')))
  adapter.setVector(adapter.vector())
  using again = model.createAdapter(lora)
  const result = await simulate(await federation(model, { adapter: again, resumeFrom: folder }))
  t.equal(result.rounds, 5)
  t.ok(bytesOf(again.vector()).equals(bytesOf(reference.vector)))
})

t.test('clients from a split; an adapter that is given is trained in place', async (t) => {
  const data = await tokenRows(30, 263)
  using adapter = model.createAdapter(lora)
  const before = adapter.vector()
  const result = await simulate({
    model,
    adapter,
    clients: split(data, { by: 'quantity', clients: 4, seed: 3 }),
    rounds: 2,
    local: { epochs: 1, batchSize: 4, learningRate: 1e-2 },
  })
  t.equal(result.adapter, adapter)
  t.notOk(bytesOf(before).equals(bytesOf(adapter.vector())))
  t.equal(result.folder, null)
  t.ok(result.loss! > 0 && result.tokens > 0 && result.tokensPerSecond > 0)
})

t.test('wrong options and misuse', async (t) => {
  const options = await federation(model)
  const refused = (variation: object, message: RegExp, code = 'E_CONFIG') =>
    t.throws(() => simulate({ ...options, ...variation }), { code, message }, String(message))
  refused({ round: 3 }, /unknown key "round" \(did you mean "rounds"\?\)/)
  refused({ local: { batchSize: 2 } }, /either steps or epochs/)
  refused({ local: { steps: 1, epochs: 1 } }, /either steps or epochs/)
  refused({ upload: { codec: 'int5' } }, /upload\.codec/)
  refused({ aggregation: 'fedavg' }, /unknown key "aggregation" \(its name is "algorithm"\)/)
  refused({ algorithm: 'fedpox' }, /did you mean "fedprox".*known are fedavg, fedprox/)
  refused({ algorithm: { name: 'fedprox', mu: -1 } }, /algorithm fedprox: mu/)
  refused({ algorithm: { name: 'fedavg', mu: 1 } }, /unknown key "mu"/)
  refused({ serverOptimizer: 'adma' }, /serverOptimizer/)
  refused({ absence: 1 }, /absence/)
  refused({ dropout: 0.2 }, /unknown key "dropout" \(its name is "absence"\)/)
  refused({ model: {} }, /expected a loaded model/, 'E_ARGUMENT')
  await t.rejects(simulate({ ...options, clients: [] }), { code: 'E_ARGUMENT', message: /clients/ })
  await t.rejects(simulate({ ...options, cohort: 7 }), { code: 'E_ARGUMENT', message: /at most 6/ })
  const empty = options.clients as Awaited<ReturnType<typeof makeClients>>
  const withEmpty = [...empty.slice(1), empty[0]!.subset([])]
  await t.rejects(simulate({ ...options, clients: withEmpty }), { code: 'E_DATA', message: /client 5 .*no row/ })
  await t.rejects(simulate({ ...options, resumeFrom: join(root, 'nowhere') }), { code: 'E_CHECKPOINT' })
  using adapter = model.createAdapter(lora)
  const run = simulate({ ...options, adapter })
  t.throws(() => adapter.setVector(new Float32Array(adapter.length)), { code: 'E_BUSY' })
  await run
})

t.test('a diverging client stops the run, named with its round; what it began with is kept', async (t) => {
  using adapter = model.createAdapter(lora)
  const before = adapter.vector()
  const options = await federation(model, { adapter, local: { steps: 5, batchSize: 2, learningRate: 1e30 } })
  await t.rejects(simulate(options), { code: 'E_NONFINITE', message: /round 1, client client-\d/ })
  t.ok(bytesOf(before).equals(bytesOf(adapter.vector())))
})

t.test('a foreign or damaged message never reaches a mean', async (t) => {
  const update = Float32Array.from({ length: 700 }, (_, i) => Math.sin(i))
  for (const codec of ['f32', 'bf16', 'int8', 'int4', 'topk'] as const) {
    using aggregator = createAggregator(update.length)
    const { bytes } = encodeUpdate(update, { codec, density: 1 / 4, bits: 4 })
    aggregator.add(bytes, 2)
    const expected = aggregator.mean()
    for (const at of [0, 5, bytes.length >> 1, bytes.length - 1]) {
      const damaged = bytes.slice()
      damaged[at]! ^= 0x10
      t.throws(() => aggregator.add(damaged, 1), { name: 'FedloraError' }, `${codec}, byte ${at}`)
    }
    t.throws(() => aggregator.add(bytes.subarray(0, bytes.length - 3), 1), { name: 'FedloraError' })
    t.ok(bytesOf(aggregator.mean()).equals(bytesOf(expected)), `${codec}: the sum is as it was`)
    aggregator.add(bytes, 1)
    t.equal(aggregator.count, 2, 'canary: an undamaged message is taken')
  }
})
