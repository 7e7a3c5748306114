/** The largest micro-batch of a plan: no run meets a larger one, whatever the order of its rows, across ends of epochs too. */
import t from 'tap'
import { Batches } from '../../src/data/batches.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { Random } from '../../src/random/random.js'
import { largestMicroBatch } from '../../src/training/memory.js'

const random = new Random(11, 99)

/** Rows of these lengths; every third token is supervised. */
async function rowsOf(lengths: number[]) {
  const rows = lengths.map((length) => {
    const input_ids = Array.from({ length }, (_, i) => i + 1)
    return { input_ids, labels: input_ids.map((id, i) => (i % 3 === 0 ? id : -100)) }
  })
  return await loadDataset(rows, { format: 'tokens' })
}

/** The largest batch that was met in the orders of some seeds. */
async function met(data: Awaited<ReturnType<typeof rowsOf>>, batchSize: number, epochs: number, seeds: number) {
  let tokens = 0
  let supervised = 0
  let rows = 0
  for (let seed = 0; seed < seeds; ++seed) {
    for (const { indices } of new Batches(data, { batchSize, epochs, seed })) {
      const facts = indices.map((index) => data.facts(index))
      tokens = Math.max(
        tokens,
        facts.reduce((sum, row) => sum + row.tokens, 0),
      )
      supervised = Math.max(
        supervised,
        facts.reduce((sum, row) => sum + row.supervised, 0),
      )
      rows = Math.max(rows, indices.length)
    }
  }
  return { tokens, supervised, rows }
}

t.test('a row met twice where two epochs join is counted twice', async (t) => {
  const data = await rowsOf([50, 2, 2, 2, 2])
  t.equal(largestMicroBatch(data, { batchSize: 2, packing: false, epochs: 5 }).tokens, 100)
  t.equal(largestMicroBatch(data, { batchSize: 4, packing: false, maxSteps: 100 }).tokens, 104)
  t.equal(largestMicroBatch(data, { batchSize: 2, packing: false }).tokens, 52, 'within one epoch it is drawn once')
  t.equal(largestMicroBatch(data, { batchSize: 2, packing: false, maxSteps: 2 }).tokens, 52)
  t.equal((await met(data, 2, 5, 50)).tokens, 100, 'such a batch is met')
})

t.test('no order gives a larger batch than the plan says', async (t) => {
  let tight = 0
  for (let round = 0; round < 60; ++round) {
    const data = await rowsOf(Array.from({ length: 1 + random.below(6) }, () => 1 + random.below(60)))
    const batchSize = 1 + random.below(14)
    const epochs = [1, 1.5, 2, 7][random.below(4)]!
    const plan = largestMicroBatch(data, { batchSize, packing: false, epochs })
    const found = await met(data, batchSize, epochs, 40)
    const of = JSON.stringify({ rows: data.length, batchSize, epochs, plan, found })
    if (!(found.tokens <= plan.tokens)) t.fail(`tokens: ${of}`)
    if (!(found.supervised <= plan.supervised)) t.fail(`supervised: ${of}`)
    if (!(found.rows <= plan.rows)) t.fail(`rows: ${of}`)
    if (found.tokens === plan.tokens) ++tight
  }
  t.ok(tight > 30, `canary: the bound is met by ${tight} of 60`)
})

t.test('packed: a batch is as full as its budget, by the shortest rows, all of it supervised at worst', async (t) => {
  const data = await rowsOf([7, 2, 5])
  const { maxLength } = data
  const plan = largestMicroBatch(data, { batchSize: 3, packing: true })
  t.same(plan, {
    tokens: 3 * maxLength,
    rows: Math.floor((3 * maxLength) / 2),
    longestRow: 7,
    supervised: 3 * maxLength,
  })
  let most = 0
  for (let round = 0; round < 30; ++round) {
    const rows = await rowsOf(Array.from({ length: 1 + random.below(40) }, () => 1 + random.below(60)))
    const batchSize = 1 + random.below(3)
    const {
      tokens,
      rows: count,
      longestRow,
      supervised,
    } = largestMicroBatch(rows, { batchSize, packing: true, epochs: 2 })
    for (const { indices } of new Batches(rows, { batchSize, packing: true, epochs: 2, seed: round })) {
      const facts = indices.map((index) => rows.facts(index))
      const sum = (of: 'tokens' | 'supervised') => facts.reduce((total, row) => total + row[of], 0)
      if (!(sum('tokens') <= tokens && sum('supervised') <= supervised)) t.fail(`${sum('tokens')} tokens`)
      if (!(indices.length <= count && facts.every((row) => row.tokens <= longestRow))) t.fail(`${indices.length} rows`)
      most = Math.max(most, sum('supervised'))
    }
  }
  t.ok(most > 0, 'canary: some are supervised')
})

t.test('planning tokenises no row a second time', async (t) => {
  const rows = Array.from({ length: 50 }, (_, i) => ({ input_ids: [1, 2, i] }))
  const data = await loadDataset(rows, { format: 'tokens' })
  await data.prepare()
  data.sample = () => {
    throw new Error('the ids of a row were asked for')
  }
  t.equal(largestMicroBatch(data, { batchSize: 4, packing: false }).tokens, 12)
  t.equal(largestMicroBatch(data, { batchSize: 4, packing: true }).longestRow, 3)
  t.equal(new Batches(data, { batchSize: 1, packing: true, epochs: 1 }).count(), 1)
})
