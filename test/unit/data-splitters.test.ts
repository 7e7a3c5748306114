/** Laws of every splitter: each row in one place, the same split for the same seed, train and test of one mixture. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Dataset } from '../../src/data/dataset.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { apportion, ensureMinimum, trainAndTest } from '../../src/data/split/partition.js'
import { type ClientRows, Split } from '../../src/data/split/split.js'
import type { SplitOptions } from '../../src/data/split/split-options.js'
import { split } from '../../src/data/split/splitters.js'
import { Random } from '../../src/random/random.js'

const folder = await mkdtemp(join(tmpdir(), 'fedlora-split-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

/** A data set whose rows have one of `weights.length` labels, in these proportions. */
async function labelled(count: number, weights: number[], seed = 1): Promise<Dataset> {
  const random = new Random(seed, 99)
  const labels = apportion(weights, count).flatMap((n, label) => new Array<number>(n).fill(label))
  const rows = random.shuffle(labels).map((label, i) => ({ input_ids: [i + 1], topic: `t${label}` }))
  return loadDataset(rows, { format: 'tokens', category: 'topic' })
}

const data = await labelled(600, [0.5, 0.3, 0.15, 0.05])
const every = Array.from({ length: data.length }, (_, i) => i)

/** Shares of the labels among `rows`. */
function mixture(of: Dataset, rows: readonly number[]): number[] {
  const counts = [0, 0, 0, 0]
  for (const row of rows) counts[Number(of.category(row)!.slice(1))]!++
  return counts.map((count) => count / rows.length)
}

/** Half the sum of absolute differences: 0 for equal mixtures, 1 for disjoint ones. */
const distance = (a: number[], b: number[]) => a.reduce((sum, share, i) => sum + Math.abs(share - b[i]!), 0) / 2

/** The laws that hold for every split: each row once, sizes, train and test alike. Returns the first that is broken. */
function broken(
  of: Dataset,
  made: { clients: readonly { train: readonly number[]; test: readonly number[] }[] },
  options: SplitOptions,
): string | null {
  const rows = made.clients.flatMap(({ train, test }) => [...train, ...test]).sort((a, b) => a - b)
  if (rows.length !== of.length || !rows.every((row, i) => row === i)) return 'each row once'
  for (const { train, test } of made.clients) {
    const size = train.length + test.length
    if (size < (options.minRows ?? 1)) return 'minRows'
    if (train.length === 0) return 'a train row'
    if (Math.abs(test.length - (options.testFraction ?? 0.1) * size) > 1) return 'testFraction'
    const both = mixture(of, [...train, ...test])
    // Whole rows: each of the four labels may be off by one row.
    if (test.length > 0 && !(distance(mixture(of, test), both) <= 2 / test.length + 1e-9))
      return 'test of the same mixture'
    if (!(distance(mixture(of, train), both) <= 2 / train.length + 1e-9)) return 'train of the same mixture'
  }
  return null
}

const cases: SplitOptions[] = []
for (const seed of [0, 1, 2]) {
  for (const testFraction of [0, 0.1, 0.3]) {
    cases.push({ by: 'category', seed, testFraction }, { by: 'category', clients: 3, seed, testFraction })
    for (const clients of [1, 2, 7, 30]) {
      cases.push({ by: 'iid', clients, seed, testFraction })
      for (const alpha of [0.05, 0.5, 100]) {
        cases.push({ by: 'dirichlet', clients, alpha, seed, testFraction, minRows: 3 })
        cases.push({ by: 'quantity', clients, alpha, seed, testFraction, minRows: 3 })
      }
    }
  }
}

t.test('rows of one client: a test row from two rows on, a train row whatever the fraction', async (t) => {
  const sizes = (rows: number, fraction: number) => {
    const all = Array.from({ length: rows }, (_, row) => row)
    const { train, test } = trainAndTest(all, fraction, () => 'one label', new Random(1, 99))
    t.same([...train, ...test].sort(), all.sort())
    return [train.length, test.length]
  }
  t.same(sizes(1, 0.9), [1, 0])
  t.same(sizes(2, 1e-9), [1, 1])
  t.same(sizes(2, 1), [1, 1])
  t.same(sizes(5, 0), [5, 0])
  t.same(sizes(5, 0.5), [2, 3])
  t.same(sizes(5, 1), [1, 4])
})

t.test(`laws over ${cases.length} splits`, async (t) => {
  for (const options of cases) {
    const made = split(data, options)
    const problem = broken(data, made, options)
    if (problem !== null) t.fail(`${problem}: ${JSON.stringify(options)}`)
    if (JSON.stringify(made.clients) !== JSON.stringify(split(data, options).clients))
      t.fail(`the same twice: ${JSON.stringify(options)}`)
  }
  t.pass('all')
})

t.test('canary: a lost row, a doubled row and a test of one label break the laws', async (t) => {
  const options: SplitOptions = { by: 'iid', clients: 2, testFraction: 0.3 }
  const { clients } = split(data, options)
  const [first, second] = clients as readonly [ClientRows, ClientRows]
  t.equal(broken(data, { clients: [first, second] }, options), null)
  t.equal(broken(data, { clients: [{ ...first, train: first.train.slice(1) }, second] }, options), 'each row once')
  t.equal(broken(data, { clients: [{ ...first, train: [...first.train, 0] }, second] }, options), 'each row once')
  const all = [...first.train, ...first.test].sort((a, b) => data.category(a)!.localeCompare(data.category(b)!))
  const sorted = { test: all.slice(0, first.test.length), train: all.slice(first.test.length) }
  t.equal(broken(data, { clients: [sorted, second] }, options), 'test of the same mixture')
})

t.test('each splitter skews what it says', async (t) => {
  const spread = (options: SplitOptions) => {
    const { clients } = split(data, { ...options, testFraction: 0 })
    const whole = mixture(data, every)
    const sizes = clients.map(({ train }) => train.length)
    const skew =
      clients.reduce((sum, { train }) => sum + distance(mixture(data, train), whole) * train.length, 0) / data.length
    return { skew, largest: Math.max(...sizes), smallest: Math.min(...sizes) }
  }
  const iid = spread({ by: 'iid', clients: 8 })
  t.same([iid.smallest, iid.largest], [75, 75])
  // Of 75 rows drawn at random a label's share is off by √(p(1−p)/75 · 525/599), four fifths of it on average; half the sum over the
  // labels is 0.066, and the mean over eight clients is within 0.034 (three of its standard deviations) of that.
  const chance = 0.1
  t.ok(iid.skew < chance, `${iid.skew}`)
  // Towards 0 each label has one client, and the skew is 1 − Σp² = 0.635; shares of alpha 1000 differ by 3 % of themselves.
  t.ok(spread({ by: 'dirichlet', clients: 8, alpha: 0.1 }).skew > 2.5 * chance)
  t.ok(spread({ by: 'dirichlet', clients: 8, alpha: 1000 }).skew < chance)
  // Half of all shares of a Dirichlet(0.3) draw lie below a third of the mean. Larger clients are nearer to the whole, so that the
  // mean by rows is below that of equal sizes.
  const sizes = spread({ by: 'quantity', clients: 8, alpha: 0.3 })
  t.ok(sizes.largest > 3 * sizes.smallest)
  t.ok(sizes.skew < chance, `${sizes.skew}`)
  t.notSame(
    split(data, { by: 'iid', clients: 3, seed: 1 }).clients,
    split(data, { by: 'iid', clients: 3, seed: 2 }).clients,
  )
})

t.test('by category: a client a label, named after it', async (t) => {
  const made = split(data, { by: 'category' })
  t.same(made.clients.map((client) => client.name).sort(), ['t0', 't1', 't2', 't3'])
  for (const { name, train, test } of made.clients) {
    t.ok([...train, ...test].every((row) => data.category(row) === name))
  }
  const grouped = split(data, { by: 'category', clients: 2 })
  t.same(
    grouped.clients.map((client) => client.name),
    ['t0', 't1+t2+t3'],
  )
  t.throws(() => split(data, { by: 'category', clients: 5 }), { code: 'E_ARGUMENT', message: /only 4 categories/ })
  t.throws(() => split(data, { by: 'category', minRows: 31 }), { code: 'E_DATA', message: /t3/ })
})

t.test('a label may be any field', async (t) => {
  const plain = await loadDataset(
    [1, 1, 2, 2].map((kind, i) => ({ input_ids: [i], kind })),
    { format: 'tokens' },
  )
  t.same(
    split(plain, { by: 'category', label: 'kind' }).clients.map((client) => client.name),
    ['1', '2'],
  )
  t.throws(() => split(plain, { by: 'category' }), { code: 'E_DATA', message: /label/ })
  t.throws(() => split(plain, { by: 'dirichlet', clients: 2, label: 'none' }), { code: 'E_DATA', details: { row: 0 } })
  t.equal(split(plain, { by: 'iid', clients: 2 }).length, 2, 'iid needs none')
})

t.test('what cannot be split', async (t) => {
  t.throws(() => split(data, { by: 'iid' }), { code: 'E_CONFIG' })
  t.throws(() => split(data, { by: 'iid', clients: 601 }), { code: 'E_DATA' })
  t.throws(() => split(data, { by: 'iid', clients: 10, minRows: 61 }), { code: 'E_DATA' })
  t.throws(() => split(data, { by: 'fair' as never, clients: 2 }), { code: 'E_CONFIG' })
  t.throws(() => split(data, { by: 'dirichlet', clients: 2, alpha: 0 }), { code: 'E_CONFIG' })
})

t.test('a split is a file, checked against its data', async (t) => {
  const path = join(folder, 'split.json')
  const made = split(data, { by: 'dirichlet', clients: 5, seed: 3 })
  await made.save(path)
  const { kind, version } = JSON.parse(await readFile(path, 'utf8'))
  t.same([kind, version], ['fedlora-split', 1])
  const loaded = await Split.load(path, data)
  t.same(loaded.clients, made.clients)
  t.same(loaded.options, made.options)
  t.equal(loaded.train(2).length, made.clients[2]!.train.length)
  t.same(loaded.test(2).row(0), data.row(made.clients[2]!.test[0]!))
  t.throws(() => loaded.train(5), { code: 'E_ARGUMENT' })

  await t.rejects(Split.load(path, data.subset(every.slice(1))), { code: 'E_DATA', message: /other data/ })
  await t.rejects(
    Split.load(path, data.subset([...every].reverse())),
    { code: 'E_DATA' },
    'canary: another order is seen',
  )
  const json = JSON.parse(await readFile(path, 'utf8'))
  const tampered = async (edit: (copy: typeof json) => void) => {
    const copy = structuredClone(json)
    edit(copy)
    const other = join(folder, 'tampered.json')
    await writeFile(other, JSON.stringify(copy))
    return Split.load(other, data)
  }
  await t.rejects(
    tampered((copy) => copy.clients[0].train.push(600)),
    { code: 'E_DATA' },
  )
  await t.rejects(
    tampered((copy) => copy.clients[0].train.push(copy.clients[1].train[0])),
    { code: 'E_DATA' },
  )
  await t.rejects(
    tampered((copy) => copy.clients[0].train.push(-1)),
    { code: 'E_FORMAT' },
  )
  await t.rejects(
    tampered((copy) => (copy.version = 2)),
    { code: 'E_FORMAT' },
  )
  await t.rejects(
    tampered((copy) => (copy.extra = 2)),
    { code: 'E_FORMAT' },
  )
  await t.rejects(Split.load(join(folder, 'absent.json'), data), { code: 'E_MISSING', message: /^split: '.*absent/ })
})

t.test('clients put together by hand', async (t) => {
  const made = new Split(data, [{ name: 'a', train: [0, 1], test: [] }])
  await made.save(join(folder, 'hand.json'))
  t.equal((await Split.load(join(folder, 'hand.json'), data)).options, null)
  t.throws(() => new Split(data, [{ name: 'a', train: [0], test: [0] }]), { code: 'E_DATA' })
})

t.test('apportion: whole numbers near the shares', async (t) => {
  t.same(apportion([0.5, 0.25, 0.25], 10), [5, 3, 2])
  t.same(apportion([1 / 3, 1 / 3, 1 / 3], 1), [1, 0, 0])
  t.same(apportion([0, 1], 7), [0, 7])
})

t.test('three hundred thousand rows over two clients, by every splitter', async (t) => {
  const rows = Array.from({ length: 300_000 }, (_, i) => ({ input_ids: [1, i], topic: `t${i % 2}` }))
  const many = await loadDataset(rows, { format: 'tokens', category: 'topic' })
  for (const by of ['iid', 'category', 'dirichlet', 'quantity'] as const) {
    const { clients } = split(many, { by, clients: 2, testFraction: by === 'iid' ? 0.5 : 0.1 })
    const held = clients.map(({ train, test }) => train.length + test.length)
    t.equal(held[0]! + held[1]!, 300_000, `${by}: ${held}`)
  }
})

t.test('a concentration so small that no logarithm holds: each label to one client', async (t) => {
  for (const alpha of [1e-5, 1e-300, 1e-310, 5e-324]) {
    for (let seed = 0; seed < 5; ++seed) {
      const options: SplitOptions = { by: 'dirichlet', clients: 3, alpha, seed, testFraction: 0 }
      const { clients } = split(data, options)
      const problem = broken(data, { clients }, options)
      t.equal(problem, null, JSON.stringify(options))
      const holders = [0, 1, 2, 3].map(
        (label) => clients.filter(({ train }) => mixture(data, train)[label]! > 0.01).length,
      )
      t.ok(
        holders.every((count) => count <= 2),
        `alpha ${alpha}: ${holders}`,
      )
    }
  }
  const shares = new Random(1, 99).dirichlet(1e-310, 4)
  t.same([...shares].sort(), [0, 0, 0, 1])
})

t.test(
  'rows up to a minimum come of the client that holds the most, of its commonest label, the first where two are alike',
  async (t) => {
    const dealt = (clients: number[][], minimum: number, labels: string) => {
      ensureMinimum(clients, minimum, (row) => labels[row]!)
      return clients
    }
    t.same(dealt([[0, 1, 2], [3, 4, 5], []], 1, 'aabbbb'), [[0, 2], [3, 4, 5], [1]], 'the first of two that hold three')
    t.same(dealt([[0, 1], [2, 3, 4], []], 1, 'aabbb'), [[0, 1], [2, 3], [4]])
    t.same(dealt([[0, 1, 2, 3], []], 1, 'abba'), [[0, 1, 2], [3]], 'the first of two labels, its last row')
    t.same(dealt([[0, 1], [2]], 1, 'aaa'), [[0, 1], [2]], 'who has enough keeps it')
  },
)
