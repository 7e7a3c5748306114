/** How many clients work at a time: numbers by hand, over a model whose plan is a formula. */
import t from 'tap'
import type { FederationConfig } from '../../src/federated/options.js'
import type { Clients } from '../../src/federated/simulate/clients.js'
import { planConcurrency } from '../../src/federated/simulate/concurrency.js'
import type { Locals } from '../../src/federated/simulate/overrides.js'
import type { Adapter } from '../../src/model/adapter.js'
import { passTokens } from '../../src/training/memory.js'
import { tokenRows } from '../support/train.js'

interface Request {
  tokens: number
  rows: number
  longestRow: number
  supervised: number
  recompute: 'none' | 'gate-up' | 'all'
  adapters: number
}
const bytesOfToken = { none: 100, 'gate-up': 10, all: 1 }
const asked: Request[] = []
/** 100, 10 or 1 bytes a token, and 1,000 an adapter. */
const plan = (request: Request) => {
  asked.push(request)
  return { total: request.tokens * bytesOfToken[request.recompute] + 1000 * request.adapters }
}
const adapter = {
  config: { rank: 4, alpha: 8, dropout: 0, rankPattern: {}, alphaPattern: {} },
  targets: [],
  model: { handle: { use: () => ({ plan }) } },
} as unknown as Adapter

/** Clients whose largest micro-batch of one row has so many tokens. */
async function clientsOf(...lengths: number[]) {
  const rows = await tokenRows(40, 263)
  const of = lengths.map((length) =>
    rows.subset([Array.from({ length: 40 }, (_, i) => i).find((row) => rows.facts(row).tokens === length)!]),
  )
  return {
    length: of.length,
    name: (i: number) => `c${i}`,
    place: (i: number) => i,
    data: (i: number) => of[i]!,
    test: () => undefined,
    own: () => ({}),
  }
}

type Local = FederationConfig['local']

/** Clients that have the federation's options, or their own. */
const planned = (clients: Clients, cohort: number, config: FederationConfig, own: Partial<Local>[] = []) => {
  const locals: Locals = { of: (index) => ({ ...config.local, ...own[index] }), fingerprint: null }
  return planConcurrency(adapter, clients, locals, cohort, config)
}

const config = (concurrency: number, memoryBudget?: number) =>
  ({ concurrency, local: { batchSize: 1, packing: false, steps: 1, optimizer: 'adamw', memoryBudget } }) as never

t.test('without a budget as many as asked for, at most the cohort', async (t) => {
  const clients = await clientsOf(10, 12)
  t.same(planned(clients, 5, config(3)), { concurrency: 3, mostTokens: passTokens })
  t.same(planned(clients, 2, config(3)), { concurrency: 2, mostTokens: passTokens })
  t.same(asked, [], 'nothing is planned')
  t.same(planned(clients, 5, config(1, 10)), { concurrency: 1, mostTokens: passTokens })
})

t.test('as many as a budget has room for', async (t) => {
  const clients = await clientsOf(16, 10, 12)
  const at = (budget: number, wanted = 3) => planned(clients, 3, config(wanted, budget))
  // Alone without recomputing: 16 · 100 + 1000. All three: 38 · 100 + 3000; the two largest: 28 · 100 + 2000.
  t.same(at(6800), { concurrency: 3, mostTokens: passTokens })
  t.same(asked.at(-1), { ...asked.at(-1), tokens: 38, rows: 3, longestRow: 16, supervised: 38, adapters: 3 })
  // With no room for a shared pass they go one by one, beside one another: 16 · 100 + 3000.
  t.same(at(6799), { concurrency: 3, mostTokens: 1 })
  t.same(at(4600), { concurrency: 3, mostTokens: 1 })
  t.same(at(4599), { concurrency: 2, mostTokens: 1 })
  t.same(at(4800, 2), { concurrency: 2, mostTokens: passTokens })
  t.same(at(2600, 2), { concurrency: 1, mostTokens: passTokens }, 'one alone fits, two do not')
})

t.test('each client keeps the recomputation that it has alone; who fits with none hinders nobody', async (t) => {
  const clients = await clientsOf(16, 10)
  // Budget 2,500: 10 tokens fit as they are (2,000), 16 recompute (1,160). Two at a time: 10 · 100 + 2,000 is too much for the former.
  t.same(planned(clients, 2, config(2, 2500)), { concurrency: 1, mostTokens: passTokens })
  t.same(planned(clients, 2, config(2, 3000)), { concurrency: 1, mostTokens: passTokens })
  // 3,600: both fit as they are, side by side one by one (16 · 100 + 2,000).
  t.same(planned(clients, 2, config(2, 3600)), { concurrency: 2, mostTokens: 1 })
  t.same(planned(clients, 2, config(2, 900)), { concurrency: 2, mostTokens: passTokens }, 'refused by name later')
})

t.test('each client by its own options', async (t) => {
  const clients = await clientsOf(16, 10)
  const two = [await tokenRows(2, 263)].map((data) => ({ ...clients, length: 1, data: () => data }))[0]!
  const [a, b] = [0, 1].map((row) => two.data().facts(row).tokens) as [number, number]
  // A micro-batch of both rows: a + b tokens.
  const at = (budget: number, own: Partial<Local>[]) =>
    planned({ ...two, length: 2 }, 2, config(2, budget), own).concurrency
  const own = [{ batchSize: 2, epochs: 1, steps: undefined }, {}] as Partial<Local>[]
  const alone = 100 * Math.max(a, b) + 2000
  t.equal(at(alone, []), 2)
  t.equal(at(100 * (a + b) + 1999, own), 1)
  t.equal(at(100 * (a + b) + 2000, own), 2)
  asked.length = 0
  planned(clients, 2, config(2, 9999), [{ optimizer: 'sgd' }, {}])
  t.same(
    asked.map((request) => (request as Request & { optimizer: string }).optimizer),
    ['sgd', 'adamw', 'adamw'],
    'alone by its own rule, together by the one that takes more',
  )
  asked.length = 0
  planned(clients, 2, config(2, 9999), [{ optimizer: 'sgd' }, { optimizer: 'sgd' }])
  t.equal((asked.at(-1) as Request & { optimizer: string }).optimizer, 'sgd')
  t.same(planned(clients, 2, config(2), [{}, { memoryBudget: 3599 }]), { concurrency: 1, mostTokens: passTokens })
  t.same(
    planned(clients, 2, config(2), [{}, { memoryBudget: 3600 }]),
    { concurrency: 2, mostTokens: 1 },
    'the smallest budget',
  )
})

t.test('steps that go round the rows more than once draw the largest of them again', async (t) => {
  const rows = await tokenRows(2, 263)
  const clients = { ...(await clientsOf(10)), data: () => rows, length: 2 }
  const [a, b] = [0, 1].map((row) => rows.facts(row).tokens) as [number, number]
  const most = Math.max(a, b)
  // Batches of 3 rows over 2: one of them twice.
  const own = [{ batchSize: 3, steps: 2 }, {}] as Partial<Local>[]
  asked.length = 0
  planned(clients, 2, config(2, 1e6), own)
  t.equal(asked[0]!.tokens, a + b + most)
})
