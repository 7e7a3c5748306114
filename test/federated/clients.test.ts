/** Who takes part in a federation: what is accepted as clients, and all their rows in one place. */
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { split } from '../../src/data/split/splitters.js'
import { fingerprint, openClients, pooledRows } from '../../src/federated/simulate/clients.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { tokenRows } from '../support/train.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())

const data = [await tokenRows(3, 263, 1), await tokenRows(1, 263, 2), await tokenRows(4, 263, 3)]

t.test('pooled rows are those of every client, whole, client after client', async (t) => {
  const pooled = await pooledRows(await openClients(data, model, {}))
  const expected = data.flatMap((own) => Array.from({ length: own.length }, (_, row) => own.sample(row)))
  t.equal(pooled.length, expected.length)
  for (const [row, { inputIds, labels }] of expected.entries()) {
    const sample = pooled.sample(row)
    t.same([[...sample.inputIds], [...sample.labels]], [[...inputIds], [...labels]], `row ${row}`)
  }
})

t.test(
  'data sets are named by their number, others as they say; a split by its own names; in their order',
  async (t) => {
    const names = async (given: Parameters<typeof openClients>[0]) => {
      const clients = await openClients(given, model, {})
      return Array.from({ length: clients.length }, (_, i) => clients.name(i))
    }
    t.same(await names([data[0]!, { name: 'b', train: data[1]! }]), ['b', 'client-0'])
    const rows = await loadDataset(
      [0, 1, 2, 3].map((i) => ({ input_ids: [1, i], topic: `t${i % 2}` })),
      { format: 'tokens', category: 'topic' },
    )
    t.same(await names(split(rows, { by: 'category', testFraction: 0 })), ['t0', 't1'])
  },
)

t.test('the fingerprint knows names, rows and their order', async (t) => {
  const of = async (given: Parameters<typeof openClients>[0]) => fingerprint(await openClients(given, model, {}))
  const [a, b] = data as [(typeof data)[number], (typeof data)[number]]
  const all = [await of([a, b]), await of([b, a]), await of([a]), await of([a, { name: 'x', train: b }])]
  t.equal(new Set(all).size, 4)
  t.equal(await of([a, b]), all[0], 'canary: the same is the same')
})

t.test('what is no client is named with its place', async (t) => {
  const refused = (given: unknown, code: string, message: RegExp) =>
    t.rejects(openClients(given as never, model, {}), { code, message }, String(message))
  await refused([], 'E_ARGUMENT', /clients: got .*expected a split or a list/)
  await refused('x', 'E_ARGUMENT', /clients/)
  await refused([data[0], { name: 'b' }], 'E_ARGUMENT', /clients\[1\]/)
  await refused([data[0], null], 'E_ARGUMENT', /clients\[1\]/)
  await refused([{ name: 3, train: data[0] }], 'E_ARGUMENT', /clients\[0\]/)
  await refused(
    [
      { name: 'b', train: data[0] },
      { name: 'b', train: data[1] },
    ],
    'E_ARGUMENT',
    /clients\[1\]: the name 'b'/,
  )
  await refused([{ name: 'b', train: data[0], rnak: 3 }], 'E_ARGUMENT', /clients\[0\]: unknown key "rnak"/)
  await refused([{ name: 'b', train: data[0], rank: 0 }], 'E_ARGUMENT', /clients\[0\]\.rank: got 0/)
  await refused([{ name: 'b', train: data[0], alpha: -1 }], 'E_ARGUMENT', /clients\[0\]\.alpha: got -1/)
  await refused([{ name: 'b', train: data[0], test: [] }], 'E_ARGUMENT', /clients\[0\]\.test/)
  await refused([data[0], data[1]!.subset([])], 'E_DATA', /client 1 \(client-1\) has no row/)
})
