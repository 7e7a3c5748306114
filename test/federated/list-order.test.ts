/**
 * The same names in any list order, answering in any order, at any concurrency and number of threads: the same bits of the adapter, and the
 * same events but for places in the list. With everything on that could tell: cohorts, absences, a lossy codec that feeds back, a server
 * optimiser.
 */
import t from 'tap'
import type { FederationEvent } from '../../src/federated/events.js'
import { type ClientData, type SimulateOptions, simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { permutation } from '../../src/random/random.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, tokenRows } from '../support/train.js'
import { federation, nameless, timeless } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

const trees = ['ash', 'birch', 'cedar', 'elm', 'fir', 'holly', 'oak', 'yew']
const clients: ClientData[] = await Promise.all(
  trees.map(async (name, i) => ({ name, train: await tokenRows(3 + ((i * 5) % 8), 263, 17 * i) })),
)

interface Told {
  bits: Buffer
  /** In the order of names, without places. */
  events: unknown[]
  /** As told. */
  rounds: FederationEvent[]
}

async function run(variation: Partial<SimulateOptions>): Promise<Told> {
  const told: FederationEvent[] = []
  const options = await federation(model, { rounds: 4, cohort: 5, evaluate: undefined })
  const run = simulate({ ...options, clients, ...variation } as SimulateOptions)
  for await (const event of run) if (event.type === 'round') told.push(event)
  const { adapter } = await run
  using _ = adapter
  return { bits: bytesOf(adapter.vector()), events: told.map((event) => nameless(timeless(event))), rounds: told }
}

const reference = await run({})

t.test('any order of the list, any number at a time', async (t) => {
  for (const [seed, concurrency] of [1, 2, 3, 5].entries()) {
    const order = Array.from(permutation(clients.length, seed, 0), (place) => clients[place]!)
    const other = await run({ clients: order, concurrency })
    const listed = order.map(({ name }) => name).join(', ')
    t.ok(other.bits.equals(reference.bits), `${listed}, ${concurrency} at a time`)
    t.same(other.events, reference.events, 'the same events')
  }
})

t.test('two threads, turned round', async (t) => {
  using threaded = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 2 })
  const other = await run({ model: threaded, clients: clients.toReversed(), concurrency: 2 })
  t.ok(other.bits.equals(reference.bits))
  t.same(other.events, reference.events)
})

t.test('places are those of the list', async (t) => {
  const other = await run({ clients: clients.toReversed() })
  t.notSame(timeless(other.rounds), timeless(reference.rounds), 'the events do say where a client stands')
  for (const event of other.rounds) {
    if (event.type !== 'round') continue
    for (const { client, name } of event.clients) t.equal(name, trees.toReversed()[client])
  }
  t.ok(
    reference.rounds.some((event) => event.type === 'round' && event.dropped.length > 0),
    'somebody was absent',
  )
})

t.test('canary: other names are another federation', async (t) => {
  const renamed = clients.map(({ name, train }, i) => ({ name: i === 0 ? `${name}-tree` : name, train }))
  t.notOk((await run({ clients: renamed })).bits.equals(reference.bits))
})
