/** Order of rows, full batches across epochs, packing, and the cursor. */
import t from 'tap'
import { type Batch, Batches, type BatchOptions, type BatchState, pack } from '../../src/data/batches.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { permutation } from '../../src/random/random.js'

const rows = Array.from({ length: 10 }, (_, i) => ({ input_ids: new Array(1 + (i % 4)).fill(i) }))
const data = await loadDataset(rows, { format: 'tokens', maxLength: 8 })

const take = (batches: Batches, count: number): number[][] =>
  Array.from({ length: count }, () => batches.next()).map((batch) => batch!.indices)

t.test('every batch is full, epochs join, each row once an epoch', async (t) => {
  const options = { batchSize: 4, seed: 5 }
  const visited = take(new Batches(data, options), 10)
  t.ok(visited.every((batch) => batch.length === 4))
  const flat = visited.flat()
  for (let epoch = 0; epoch < 4; ++epoch) {
    t.same(flat.slice(10 * epoch, 10 * (epoch + 1)), [...permutation(10, 5, epoch)])
  }
  t.notSame(flat.slice(0, 10), flat.slice(10, 20), 'canary: a new epoch has a new order')
  t.notSame(take(new Batches(data, { batchSize: 4, seed: 6 }), 10), visited)
  t.same(take(new Batches(data, { batchSize: 4, shuffle: false }), 3), [
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9, 0, 1],
  ])
})

t.test('with epochs the last batch may be short', async (t) => {
  const lengths = (options: BatchOptions) => [...new Batches(data, options)].map((batch) => batch.indices.length)
  t.same(lengths({ batchSize: 4, epochs: 1 }), [4, 4, 2])
  t.same(lengths({ batchSize: 4, epochs: 2 }), [4, 4, 4, 4, 4])
  t.same(lengths({ batchSize: 4, epochs: 0.5 }), [4, 1])
  t.equal(new Batches(data, { batchSize: 4, epochs: 3 }).count(), 8)
  t.equal(new Batches(data, { batchSize: 4 }).count(), Number.POSITIVE_INFINITY)
  const ended = new Batches(data, { batchSize: 16, epochs: 1 })
  t.equal(ended.next()!.indices.length, 10)
  t.equal(ended.next(), null)
  t.equal(ended.next(), null)
})

t.test('a batch larger than the data set goes round', async (t) => {
  t.same(take(new Batches(data, { batchSize: 25, shuffle: false }), 1)[0]!.slice(8, 12), [8, 9, 0, 1])
})

t.test('packing fills up to batchSize × maxLength tokens and leaves out no row', async (t) => {
  const tokens = (batch: Batch) => batch.samples.reduce((sum, sample) => sum + sample.inputIds.length, 0)
  const options = { batchSize: 1, packing: true, epochs: 3, seed: 2 }
  const all = [...new Batches(data, options)]
  all.forEach((batch, i) => {
    t.ok(tokens(batch) <= 8)
    const next = all[i + 1]
    if (next !== undefined)
      t.ok(tokens(batch) + next.samples[0]!.inputIds.length > 8, 'the next row would not have fitted')
  })
  t.same(
    all.flatMap((batch) => batch.indices),
    [0, 1, 2].flatMap((epoch) => [...permutation(10, 2, epoch)]),
  )
  t.equal(new Batches(data, options).count(), all.length)
  const single = new Batches(data, { batchSize: 1, packing: true, maxLength: 2, epochs: 1, shuffle: false })
  t.same(
    [...single].map((batch) => batch.indices),
    [[0], [1], [2], [3], [4], [5], [6], [7], [8], [9]],
    'a row longer than the room goes alone',
  )
})

t.test('the cursor is plain JSON and continues the same order', async (t) => {
  for (const options of [
    { batchSize: 3 },
    { batchSize: 1, packing: true },
    { batchSize: 3, shuffle: false },
    { batchSize: 3, epochs: 2 },
  ]) {
    const whole = new Batches(data, options)
    for (let step = 0; step < 6; ++step) {
      const state = JSON.parse(JSON.stringify(whole.state)) as BatchState
      const resumed = new Batches(data, options)
      resumed.restore(state)
      t.equal(resumed.visited, whole.visited)
      t.same(resumed.next(), whole.next())
      t.same(resumed.state, whole.state)
    }
  }
  const wrong = new Batches(data, { batchSize: 3 })
  wrong.restore({ epoch: 0, position: 4 })
  t.notSame(wrong.next(), new Batches(data, { batchSize: 3 }).next(), 'canary: another cursor, other rows')
})

t.test('a cursor from elsewhere and wrong options are refused', async (t) => {
  const batches = new Batches(data, { batchSize: 3 })
  for (const state of [
    { epoch: 0, position: 10 },
    { epoch: -1, position: 0 },
    { epoch: 0.5, position: 0 },
    {} as never,
  ]) {
    t.throws(() => batches.restore(state), { code: 'E_CHECKPOINT' })
  }
  t.throws(() => new Batches(data, { batchSize: 0 }), { code: 'E_CONFIG' })
  t.throws(() => new Batches(data.subset([]), { batchSize: 1 }), { code: 'E_DATA' })
})

t.test('a pack is rows end to end', async (t) => {
  const samples = [1, 2, 4].map((i) => data.sample(i))
  const flat = pack(samples)
  t.same([...flat.lengths], [2, 3, 1])
  t.same([...flat.ids], [1, 1, 2, 2, 2, 4])
  t.same([...flat.labels], [1, 1, 2, 2, 2, 4])
  t.same([...pack([]).ids], [])
})
