/** Local options of some clients: whose they are, what they displace, and what is refused. */
import t from 'tap'
import { simulate as simulateCommand } from '../../src/cli/commands/simulate.js'
import { configSchema } from '../../src/cli/config-schema.js'
import type { FederationEvent, RoundEvent } from '../../src/federated/events.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { federationSchema, type LocalOverrides, localSchema } from '../../src/federated/options.js'
import type { Clients } from '../../src/federated/simulate/clients.js'
import { openLocals } from '../../src/federated/simulate/overrides.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'

const local = localSchema.parse({ steps: 3, batchSize: 5, learningRate: 1e-2, maxGradNorm: 0, momentum: 0.5 })

/** Clients of these names, some with options of their own. */
function clientsOf(own: Record<string, LocalOverrides | undefined>): Clients {
  const names = Object.keys(own)
  return {
    length: names.length,
    name: (index: number) => names[index]!,
    own: (index: number) => ({ local: own[names[index]!] }),
  } as Clients
}

const three = { 'phone-1': undefined, 'phone-2': undefined, server: undefined }

t.test('by name, by pattern, by a function, beside the rows: the later and the nearer wins', async (t) => {
  const table = {
    '*': { batchSize: 1 },
    'phone-*': { batchSize: 2, optimizer: 'sgd' },
    'phone-2': { batchSize: 3 },
  } as const
  const locals = openLocals(local, table, clientsOf({ ...three, 'phone-2': { momentum: 0.25 } }))
  t.same(locals.of(0), { ...local, batchSize: 2, optimizer: 'sgd' })
  t.same(locals.of(1), { ...local, batchSize: 3, optimizer: 'sgd', momentum: 0.25 })
  t.same(locals.of(2), { ...local, batchSize: 1 })
  const byFunction = openLocals(local, (name) => (name === 'server' ? { steps: 9 } : undefined), clientsOf(three))
  t.same(
    [0, 1, 2].map((index) => byFunction.of(index).steps),
    [3, 3, 9],
  )
  t.same(openLocals(local, undefined, clientsOf(three)).of(1), local)
})

t.test('no default displaces what the federation says, in a program or in a config file', async (t) => {
  const given = { server: { optimizer: 'sgd' }, 'phone-1': { batchSize: undefined, maxGradNorm: undefined } } as const
  const expected = [local, local, { ...local, optimizer: 'sgd' as const }]
  const of = (overrides: SimulateOptions['overrides']) => {
    const locals = openLocals(local, overrides, clientsOf(three))
    return [0, 1, 2].map((index) => locals.of(index))
  }
  t.same(of(given), expected)
  const parsed = federationSchema.parse({ rounds: 1, local: { steps: 3 }, overrides: given })
  t.same(of(parsed.overrides as typeof given), expected)
  t.not(local.batchSize, localSchema.parse({ steps: 1 }).batchSize, 'canary: the defaults are others')
  const schema = JSON.stringify(await configSchema(simulateCommand))
  t.match(schema, /"overrides"/)
})

t.test('steps and epochs displace one another', async (t) => {
  const locals = openLocals(local, { '*': { epochs: 2 }, server: { steps: 4 } }, clientsOf(three))
  t.same([locals.of(0).steps, locals.of(0).epochs], [undefined, 2])
  t.same([locals.of(2).steps, locals.of(2).epochs], [4, undefined])
  const both = () => openLocals(local, { server: { steps: 4, epochs: 1 } }, clientsOf(three))
  t.throws(both, { code: 'E_CONFIG', message: /overrides\['server'\]: expected either steps or epochs/ })
})

t.test('a pattern stands for whole names, and its other characters for themselves', async (t) => {
  const named = (pattern: string, names: string[]) => {
    const locals = openLocals(
      local,
      { [pattern]: { steps: 7 } },
      clientsOf(Object.fromEntries(names.map((name) => [name, undefined]))),
    )
    return names.filter((_, index) => locals.of(index).steps === 7)
  }
  t.same(named('a*', ['a', 'ab', 'ba', 'a\nb']), ['a', 'ab', 'a\nb'])
  t.same(named('a.c', ['a.c', 'abc']), ['a.c'])
  t.same(named('*-1', ['x-1', 'x-11', '-1']), ['x-1', '-1'])
})

t.test('what fits no client, or is no option, is refused with its name', async (t) => {
  const refused = (overrides: unknown, message: RegExp, own: Record<string, LocalOverrides | undefined> = three) =>
    t.throws(
      () => openLocals(local, overrides as never, clientsOf(own)),
      { code: 'E_CONFIG', message },
      String(message),
    )
  refused({ tablet: { steps: 1 } }, /'tablet' matches no client; their names are phone-1, phone-2, server$/)
  refused(
    { tablet: {} },
    /client-0, .*, client-7, …$/,
    Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`client-${i}`, undefined])),
  )
  refused({ server: { stepz: 1 } }, /overrides\['server'\].*"stepz" \(did you mean "steps"/)
  refused({ server: { schedule: 'linear' } }, /schedule/)
  refused({ server: { batchSize: 0 } }, /overrides\['server'\].*batchSize/)
  refused(() => ({ batchSize: 0 }), /overrides\('phone-1'\).*batchSize/)
  refused('server', /overrides: got "server", expected/)
  refused([{ steps: 1 }], /overrides: got .*expected/)
  refused(undefined, /clients 'server', local.*batchSize/, { ...three, server: { batchSize: 0 } })
})

t.test('the same options are the same run, whatever way they were given', async (t) => {
  const of = (overrides: SimulateOptions['overrides'], own: Record<string, LocalOverrides | undefined> = three) =>
    openLocals(local, overrides, clientsOf(own)).fingerprint
  t.equal(of(undefined), null)
  t.equal(of({}), null)
  const one = of({ server: { epochs: 2, batchSize: 4 } })
  t.equal(of({ server: { batchSize: 4, epochs: 2 } }), one)
  t.equal(
    of((name) => (name === 'server' ? { epochs: 2, batchSize: 4 } : undefined)),
    one,
  )
  t.equal(of(undefined, { ...three, server: { epochs: 2, batchSize: 4 } }), one)
  t.not(of({ server: { epochs: 2, batchSize: 3 } }), one, 'canary: other options')
  t.not(of({ 'phone-1': { epochs: 2, batchSize: 4 } }), one, 'canary: another client')
})

t.test('in a federation: each client works by its own steps and rate; who has none is as without', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
  const clients = await Promise.all(
    ['a', 'b', 'c'].map(async (name, i) => ({ name, train: await tokenRows(4 + i, 263, 17 * i) })),
  )
  const run = async (options: Partial<SimulateOptions>) => {
    const events: FederationEvent[] = []
    const running = simulate({
      model,
      adapter: lora,
      clients,
      rounds: 2,
      local: { steps: 2, batchSize: 2, learningRate: 1e-2, schedule: 'linear' },
      ...options,
    })
    for await (const event of running) events.push(event)
    using adapter = (await running).adapter
    const rounds = events.filter((event): event is RoundEvent => event.type === 'round')
    return { vector: adapter.vector(), rounds }
  }
  const plain = await run({})
  const own = await run({ overrides: { b: { steps: 5 } }, concurrency: 3 })
  t.same(
    own.rounds[0]!.clients.map(({ steps }) => steps),
    [2, 5, 2],
  )
  t.equal(own.rounds[0]!.clients[0]!.loss, plain.rounds[0]!.clients[0]!.loss)
  const slow = await run({ overrides: { b: { learningRate: 1e-4 } } })
  t.notOk(bytesOf(slow.vector).equals(bytesOf(plain.vector)), 'a rate of its own is used')
  const all = await run({ overrides: { '*': { learningRate: 1e-4 } } })
  const rate = { steps: 2, batchSize: 2, learningRate: 1e-4, schedule: 'linear' } as const
  t.ok(bytesOf(all.vector).equals(bytesOf((await run({ local: rate })).vector)), 'under the schedule of the federation')
  const beside = await run({
    clients: clients.map((one) => (one.name === 'b' ? { ...one, local: { learningRate: 1e-4 } } : one)),
  })
  t.ok(bytesOf(beside.vector).equals(bytesOf(slow.vector)))
})
