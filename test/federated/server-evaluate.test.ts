/** The global adapter measured on the server: the figures of `simulate`, bit for bit, beside the rounds, over restarts; and no model without it. */
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../src/federated/coordinator/events.js'
import type { Judge } from '../../src/federated/coordinator/judge.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { loadModel } from '../../src/model/load.js'
import { createServer, type ServerOptions } from '../../src/server/index.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { options } from './support/conformance.js'
import { rowsOf } from './support/served.js'
import { drifts, SmallParticipant, type SmallWork, trains } from './support/small-participant.js'

const path = goldenFolder('llama')
const root = temporaryFolder('evaluate')
const model = await loadModel(path, { quantization: 'nf4', threads: 1 })
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})
const adapter = { rank: 4, alpha: 8, seed: 2 }
const names = ['a', 'b', 'c']
const rows = await Promise.all(names.map((_, i) => tokenRows(5 + ((i * 3) % 7), 263, 17 * i)))
const held = join(root, 'held.jsonl')
writeFileSync(
  held,
  rowsOf('h', 9)
    .map((row) => `${JSON.stringify(row)}\n`)
    .join(''),
)
const local = { steps: 2, batchSize: 2, learningRate: 1e-2 }
const served = (folder: string, changes: Partial<ServerOptions> = {}): ServerOptions => ({
  folder: join(root, folder),
  listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
  tls: false,
  limits: { drainSeconds: 1 },
  log: 'silent',
  model: { path, quantization: 'nf4' },
  adapter,
  data: { format: 'tokens', maxLength: 64 },
  clients: { minimum: 3 },
  federation: { rounds: 3, local, seed: 11 },
  ...changes,
})

async function takesPart(door: ConstructorParameters<typeof InProcessLink>[0], name: string, work: SmallWork = drifts) {
  const one = new SmallParticipant(name, new InProcessLink(door, name), work)
  await one.open()
  await one.run()
  await one.close()
}

/** The evaluations of a federation, simulated and served. */
async function both(t: Test, name: string, every: number, options: Partial<ServerOptions['federation']>) {
  const federation = { rounds: 3, seed: 11, local, ...options }
  const { loadDataset } = await import('../../src/data/index.js')
  const data = await loadDataset(held, { format: 'tokens', maxLength: 64 })
  const clients = names.map((client, i) => ({ name: client, train: rows[i]! }))
  const run = simulate({ model, adapter, clients, ...federation, evaluate: { data, every } })
  const expected = []
  for await (const event of run.events()) if (event.type === 'evaluation') expected.push(event)
  ;(await run).adapter.dispose()
  const told: CoordinatorEvent[] = []
  const server = await createServer(
    served(name, { federation, evaluate: { path: held, every, threads: 1 } }),
    (event) => void told.push(event),
  )
  for (const client of names) {
    const { token } = await server.door.invite(client, 60)
    await server.door.enroll(token, `key of ${client}`)
  }
  await Promise.all(names.map((client, i) => takesPart(() => server.door, client, trains(model, rows[i]!))))
  await server.over
  const { history } = server.standing()
  const metrics = await (await fetch(`${server.operatorUrl}/metrics`)).text()
  await server.close()
  const got = told.filter(({ type }) => type === 'evaluation')
  t.same(got, expected, 'the figures of simulate')
  return { expected, history, metrics, told }
}

t.test('after every round, told in events, the log, the page and /metrics', async (t) => {
  const { expected, history, metrics, told } = await both(t, 'every', 1, {})
  t.equal(expected.length, 3)
  t.not(expected[0]!.loss, expected[2]!.loss, 'canary: the adapter has changed')
  t.same(
    history.map(({ heldOutLoss }) => heldOutLoss),
    expected.map(({ loss }) => loss),
  )
  t.match(metrics, `fedlora_held_out_loss ${expected[2]!.loss}\n`)
  t.equal(told.at(-1)!.type, 'done', 'the federation is over behind its last evaluation')
  const log = readFileSync(join(root, 'every', 'events.ndjson'), 'utf8')
  t.equal(log.match(/"type":"evaluation"/g)?.length, 3)
})

t.test(
  'after some rounds, and always after the last; factors that are frozen beside the adapter belong to it',
  async (t) => {
    const { expected } = await both(t, 'some', 2, { algorithm: 'flora' })
    t.same(
      expected.map(({ round }) => round),
      [2, 3],
    )
  },
)

t.test('only after the last, where nothing is said', async (t) => {
  const { expected, history } = await both(t, 'last', 0, {})
  t.same(
    expected.map(({ round }) => round),
    [3],
  )
  t.same(
    history.map((round) => 'heldOutLoss' in round),
    [false, false, true],
  )
})

// ----------------------------------------------------------------------------------------------------- rounds, restarts, and what fails

const figures = (loss: number) => ({ loss, perplexity: Math.exp(loss), tokenAccuracy: 0.5, tokens: 7 })
const sum = (values: Float32Array) => values.reduce((total, value) => total + Math.abs(value), 0)

/** A federation of the conformance suite over memory that the next server reads. */
function kept() {
  const parts = { journal: new MemoryJournal<Entry>(), blobs: new MemoryBlobs() }
  parts.journal.close = async () => {}
  parts.blobs.close = async () => {}
  const records = async () => {
    const list: Entry[] = []
    for await (const { record } of parts.journal.read()) list.push(record)
    return list
  }
  const open = async (measure: Judge['measure'], every = 1) => {
    const { clients } = options()
    const judge = { every, measure, close: async () => {} }
    const config = options({ clients: { ...clients, deadline: null } })
    const coordinator = await Coordinator.open({ ...parts, config, judge })
    const told: CoordinatorEvent[] = []
    coordinator.onEvent((event) => void told.push(event))
    return { coordinator, told }
  }
  return { open, records }
}

const four = ['a', 'b', 'c', 'd']
async function enrolAll(coordinator: Coordinator) {
  for (const name of four) {
    const { token } = await coordinator.invite(name, 60)
    await coordinator.enroll(token, `key of ${name}`)
  }
}
const order = (records: readonly Entry[]) =>
  records
    .flatMap((record) =>
      ['begin', 'commit', 'measured'].includes(record.type) ? [record as Entry & { round: number }] : [],
    )
    .map(({ type, round }) => `${type} ${round}`)

t.test(
  'the next round is worked on meanwhile, and ends behind it; what a stop cut off is made again of the same bits',
  async (t) => {
    const { open, records } = kept()
    const seen: number[] = []
    let begun = () => {}
    const hanging = new Promise<void>((resolve) => {
      begun = resolve
    })
    const first = await open(async (values, _, signal) => {
      seen.push(sum(values))
      begun()
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      throw signal.reason
    })
    await enrolAll(first.coordinator)
    let door: Coordinator = first.coordinator
    const running = four.map((name) => takesPart(() => door, name))
    await hanging
    while (
      order(await records()).length < 3 ||
      first.coordinator.standing().waitsFor !== 'round 2: adds up what has come'
    ) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.same(order(await records()), ['begin 1', 'commit 1', 'begin 2'], 'all have answered, and the round waits')
    await first.coordinator.close()
    t.notOk(
      first.told.some(({ type }) => type === 'trouble' || type === 'evaluation'),
      'a stop is no failure',
    )
    const second = await open(async (values) => {
      seen.push(sum(values))
      return figures(sum(values))
    })
    door = second.coordinator
    await Promise.all(running)
    await second.coordinator.over
    await second.coordinator.close()
    const happened = order(await records())
    for (const round of [1, 2]) {
      t.ok(
        happened.indexOf(`measured ${round}`) < happened.indexOf(`commit ${round + 1}`),
        `round ${round} before the next ends`,
      )
    }
    t.equal(seen.length, 4)
    t.equal(seen[1], seen[0], 'the same adapter')
    t.not(seen[2], seen[1], 'canary: another adapter is told apart')
    t.equal(happened.filter((one) => one.startsWith('measured')).length, 3, 'each once')
    const third = await open(async () => t.fail('nothing is left to measure') as never)
    await third.coordinator.over
    t.same(
      third.coordinator.standing().history.map(({ heldOutLoss }) => heldOutLoss),
      seen.slice(1),
      'figures are in the journal',
    )
    await third.coordinator.close()
  },
)

for (const [what, measure, code] of [
  [
    'an evaluation that fails',
    async () => {
      throw new Error('no memory')
    },
    'E_INTERNAL',
  ],
  ['a loss that is not a number', async () => figures(Number.NaN), 'E_NONFINITE'],
] as const) {
  t.test(`${what} is told, and stops nothing`, async (t) => {
    const { open, records } = kept()
    const { coordinator, told } = await open(measure)
    await enrolAll(coordinator)
    await Promise.all(four.map((name) => takesPart(() => coordinator, name)))
    await coordinator.over
    const { history } = coordinator.standing()
    await coordinator.close()
    t.equal(history.length, 3)
    t.notOk(history.some((round) => 'heldOutLoss' in round))
    t.same(
      told.flatMap((event) => (event.type === 'trouble' ? [event.code] : [])),
      [code, code, code],
    )
    t.match(
      (await records()).findLast(({ type }) => type === 'measured'),
      { result: null, why: new RegExp(code) },
    )
  })
}

// ---------------------------------------------------------------------------------------------------------- no model; what is refused

t.test('without it no model is loaded: weights that no engine could read are only hashed', async (t) => {
  const broken = join(root, 'broken')
  mkdirSync(broken)
  for (const file of ['config.json', 'model.safetensors']) copyFileSync(join(path, file), join(broken, file))
  truncateSync(join(broken, 'model.safetensors'), 5000)
  const changes = { model: { path: broken } }
  const server = await createServer(served('broken-served', changes))
  await server.close()
  await t.rejects(createServer(served('broken-served', { ...changes, evaluate: { path: held } })), { code: 'E_FORMAT' })
})

t.test('what cannot be measured is refused before anybody is let in, and the folder is free again', async (t) => {
  const blank = join(root, 'blank.jsonl')
  writeFileSync(blank, '{"input_ids": [3, 4], "labels": [-100, -100]}\n')
  const wrong: [evaluate: object, code: string, words: RegExp][] = [
    [{ of: 'personal' }, 'E_CONFIG', /evaluate\.of: only a simulation has it/],
    [{ path: held, fineTune: { steps: 1 } }, 'E_CONFIG', /evaluate\.fineTune/],
    [{}, 'E_CONFIG', /evaluate\.path/],
    [{ path: held, evry: 2 }, 'E_CONFIG', /every/],
    [{ path: held, every: -1 }, 'E_CONFIG', /evaluate\.every/],
    [{ path: join(root, 'nothing.jsonl') }, 'E_MISSING', /nothing\.jsonl/],
    [{ path: blank }, 'E_DATA', /supervised/],
  ]
  for (const [evaluate, code, words] of wrong) {
    const opened = createServer(served('refused', { evaluate: evaluate as never }))
    await t.rejects(opened, { code, message: words }, JSON.stringify(evaluate))
  }
  await (await createServer(served('refused'))).close()
})
