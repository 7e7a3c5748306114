/** Secure aggregation between parties: the bits of `simulate` over every algorithm and codec that it allows. */
import t from 'tap'
import type { CoordinatorEvent } from '../../src/federated/coordinator/events.js'
import { temporaryFolder } from '../support/train.js'
import {
  adapterIn,
  federation,
  names,
  openModel,
  openServer,
  rowsOf,
  simulated,
  takePart,
} from './support/secure-federation.js'

const model = await openModel()
t.teardown(() => model.dispose())
const rows = await rowsOf()

async function served(options: Record<string, unknown>, clients: Record<string, unknown> = {}) {
  const folder = temporaryFolder('secure-served')
  const server = await openServer(
    { federation: options as never, clients: { minimum: names.length, deadline: null, ...clients } },
    { folder },
  )
  const events: CoordinatorEvent[] = []
  server.coordinator.onEvent((event) => events.push(event))
  const results = await takePart(model, rows, server.link)
  await server.coordinator.over
  await server.coordinator.close()
  return { ...server, events, results, bytes: adapterIn(folder) }
}

t.test('the adapter of simulate, bit for bit', async (t) => {
  const expected = await simulated(model, rows)
  const { bytes, events, results } = await served(federation)
  t.ok(bytes.equals(expected.bytes))
  t.same(
    results.map(({ counted }) => counted),
    [2, 2, 2, 2],
  )
  const rounds = events.filter((event) => event.type === 'round')
  for (const [i, round] of rounds.entries()) {
    for (const field of [
      'loss',
      'bytesUp',
      'bytesDown',
      'bytesUpRaw',
      'updateNorm',
      'secureAggregation',
      'clients',
      'dropped',
    ] as const)
      t.same(round[field], expected.rounds[i]![field], `round ${i + 1}: ${field}`)
  }
})
