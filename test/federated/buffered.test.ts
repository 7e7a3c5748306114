/** Federations without rounds between machines: the bits of `simulate`, where answers arrive in the order of its clock, and of rounds, where buffers are rounds. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { CoordinatorOptions } from '../../src/federated/coordinator/options.js'
import type { RoundEvent } from '../../src/federated/events.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder } from '../support/train.js'
import { type Arrival, arrivalsOf, Punctual, Timeless } from './support/buffered.js'
import { lora, makeClients } from './support/federation.js'
import { trains } from './support/small-participant.js'

const path = goldenFolder('llama')
const model = await loadModel(path, { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('buffered-clients')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})
const rows = await makeClients(6)
const names = rows.map((_, i) => `client-${i}`)
type Federation = CoordinatorOptions['federation']

const shared = {
  rounds: 5,
  seed: 11,
  local: { steps: 2, batchSize: 2, learningRate: 1e-2, schedule: 'cosine' },
  serverOptimizer: 'momentum',
} satisfies Federation
const clock = {
  compute: { lognormal: [100, 1] },
  bandwidth: { up: 1e4, down: 5e4 },
  latency: 0.25,
} satisfies Federation['clock']

/** The adapter of a simulation, and its answers as they arrived. */
async function simulated(federation: Federation) {
  const outputDir = temporaryFolder('simulated')
  const run = simulate({
    model,
    adapter: lora,
    clients: rows.map((train, i) => ({ name: names[i]!, train })),
    outputDir,
    ...federation,
  })
  const rounds: RoundEvent[] = []
  for await (const event of run) if (event.type === 'round') rounds.push(event)
  const { adapter } = await run
  adapter.dispose()
  const bytes = readFileSync(join(outputDir, 'adapter', 'adapter_model.safetensors'))
  rmSync(outputDir, { recursive: true })
  return { bytes, rounds }
}

let places = 0

/** A server to which the same answers arrive in the same order. `disturb` is called before each. */
async function served(
  federation: Federation,
  arrivals: readonly Arrival[],
  disturb?: (server: Timeless, at: number, clients: Map<string, Punctual>) => Promise<void>,
) {
  const server = new Timeless({
    model: { path, quantization: 'nf4' },
    adapter: lora,
    data: { format: 'tokens' },
    clients: { minimum: names.length },
    federation,
  })
  await server.open()
  await server.enrol(...names)
  const folder = join(root, String(places++))
  const clients = new Map<string, Punctual>()
  for (const [i, name] of names.entries())
    clients.set(name, await Punctual.join(name, server.link(name), folder, (own) => trains(model, rows[i]!, own)))
  for (const [at, { name, round }] of arrivals.entries()) {
    await disturb?.(server, at, clients)
    const arrived = await clients.get(name)!.arrive()
    if (arrived.round !== round) throw new Error(`${name} is at work on round ${arrived.round}, expected ${round}`)
  }
  await server.coordinator.over
  for (const one of clients.values()) await one.close()
  const bytes = readFileSync(join(server.folder, 'adapter', 'adapter_model.safetensors'))
  return { bytes, server, clients }
}

const asynchronous = { buffer: 2, concurrency: 5 }

t.test('the bits of simulate, where answers arrive in the order of its clock', async (t) => {
  const cases: Record<string, Partial<Federation>> = {
    float32: {},
    'error feedback and delta downloads': {
      upload: { codec: 'topk', density: 1 / 8, bits: 4 },
      download: { codec: 'int4' },
    },
    segments: { upload: { codec: 'int8', segments: 3 } },
    'few at work, and most idle': { asynchronous: { buffer: 3, concurrency: 3 } },
    'answers that are too old': { asynchronous: { ...asynchronous, maxStaleness: 1, exponent: 1 } },
    'a robust rule': {
      robust: { rule: 'median' },
      asynchronous: { buffer: 3, concurrency: 5 },
      screening: { maxNorm: 100 },
    },
  }
  for (const [what, variation] of Object.entries(cases)) {
    const options = { ...shared, asynchronous, ...variation }
    const { bytes, rounds } = await simulated({ ...options, clock })
    const { bytes: got, server } = await served(options, arrivalsOf(rounds))
    t.ok(got.equals(bytes), what)
    const again = await served(options, arrivalsOf(rounds), (server) => server.reopen())
    t.ok(again.bytes.equals(bytes), `${what}: another server before every answer`)
    await again.server.close()
    const stale = rounds.flatMap(({ clock }) => clock!.clients.filter(({ outcome }) => outcome === 'stale')).length
    const refused = await server.all('refused')
    t.same(
      refused.map(({ code }) => code),
      Array(stale).fill('E_STALE'),
      `${stale} too old`,
    )
    t.same(
      (await server.all('commit')).map(({ counted }) => counted),
      rounds.map(({ clients }) => clients.map(({ name }) => name).sort()),
    )
    await server.close()
  }
})

t.test('K = C = all clients are the rounds of the synchronous federation, to the bit', async (t) => {
  for (const upload of [{ codec: 'f32' }, { codec: 'int8' }] as const) {
    const options = { ...shared, upload, rounds: 3 }
    const order = [3, 1, 5, 0, 2, 4].map((i) => names[i]!)
    const arrivals = [1, 2, 3].flatMap((round) => order.map((name) => ({ name, round })))
    const rounds = await served(options, arrivals)
    const buffers = await served({ ...options, asynchronous: { buffer: 6, concurrency: 6 } }, arrivals)
    t.ok(buffers.bytes.equals(rounds.bytes), upload.codec)
    t.same(
      [...buffers.clients.values()].map(({ outcomes }) => outcomes),
      [...rounds.clients.values()].map(({ outcomes }) => outcomes),
    )
    await rounds.server.close()
    await buffers.server.close()
  }
})

t.test('a client that has lost what it held is sent the whole, also of a version that has gone by', async (t) => {
  const options = { ...shared, rounds: 8, asynchronous, download: { codec: 'int4' } } satisfies Federation
  const { bytes, rounds } = await simulated({ ...options, clock })
  const arrivals = arrivalsOf(rounds)
  const lost: number[] = []
  const got = await served(options, arrivals, async (server, at, clients) => {
    const { name, round } = arrivals[at]!
    const before = clients.get(name)!
    if (before.known.settled === 0) return
    const sent = (await before.asked()).offer.vectors
    const again = await Punctual.join(name, server.link(name), join(root, String(places++)), (own) =>
      trains(model, rows[names.indexOf(name)]!, own),
    )
    const { offer } = await again.asked()
    t.same(Object.keys(offer.vectors), ['adapter'], `${name} in round ${round}`)
    t.notSame(offer.vectors, sent)
    lost.push(server.coordinator.standing().round + 1 - round)
    clients.set(name, again)
    await before.close()
  })
  t.ok(lost.length > 3 && lost.some((age) => age > 0), `${lost}`)
  t.ok(got.bytes.equals(bytes))
  await got.server.close()
})
