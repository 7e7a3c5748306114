/** The LoRA-aware records with the real server: each beside its rule through `combineFactors`, and by the law that makes it what it is. */
import t from 'tap'
import { factorsIn } from '../../src/federated/algorithms/factors.js'
import type { AlgorithmInput } from '../../src/federated/algorithms/index.js'
import { type CombineFactorsInput, combineFactors, type FactorRuleName } from '../../src/federated/index.js'
import { fitRanks, partOf, type Space } from '../../src/federated/protocol/space.js'
import { distance, norm } from '../support/lora-golden.js'
import { bytesIn, deltaOf, type FakeClient, open, type RoundDone, spaceAt } from './support/lora-round.js'

const server = spaceAt(4)
const equal: FakeClient[] = [
  { name: 'a', rows: 3, space: server, salt: 1 },
  { name: 'b', rows: 7, space: server, salt: 2 },
  { name: 'c', rows: 5, space: server, salt: 3 },
]
/** Ranks 2, 3 and 4, one of another scale. */
const mixed: FakeClient[] = [{ ...equal[0]!, space: spaceAt(2) }, { ...equal[1]!, space: spaceAt(3, 1.5) }, equal[2]!]

/** The adapters of a round as the door takes them. */
function inputOf(
  clients: readonly FakeClient[],
  { after }: Pick<RoundDone, 'after'>,
  sent: Float32Array,
  options = {},
): CombineFactorsInput {
  const modules = server.modules.map((module, index) => {
    const given = clients.map(({ space }, k) => {
      const { A, B, rank, scaling } = factorsIn(after[k]!, space.modules[index]!)
      return { A, B, rank, alpha: rank * scaling }
    })
    const { scaling, ...pair } = factorsIn(sent, module)
    return [
      `${index}`,
      { out: module.out, in: module.in, clients: given, sent: { ...pair, alpha: pair.rank * scaling } },
    ] as const
  })
  return { modules: Object.fromEntries(modules), weights: clients.map(({ rows }) => rows), scaling: 2, options }
}

interface Judged {
  algorithm: AlgorithmInput
  rule: FactorRuleName
  options?: Record<string, unknown>
  clients: FakeClient[]
}

const judged: Judged[] = [
  { algorithm: 'fedavg', rule: 'fedit', clients: equal },
  { algorithm: 'fedit', rule: 'fedit', clients: equal },
  { algorithm: { name: 'fedavg', padding: 'zero' }, rule: 'zeropad', clients: equal },
  { algorithm: { name: 'fedavg', padding: 'zero' }, rule: 'zeropad', clients: mixed },
  { algorithm: 'ffa', rule: 'ffa', clients: equal },
  { algorithm: 'rolora', rule: 'rolora', clients: equal },
  { algorithm: 'fedsvd', rule: 'fedsvd', clients: equal },
  { algorithm: 'fedex', rule: 'fedex', clients: equal },
  { algorithm: 'flora', rule: 'flora', clients: mixed },
  { algorithm: 'flexlora', rule: 'flexlora', clients: mixed },
  { algorithm: 'raflora', rule: 'raflora', clients: mixed },
  {
    algorithm: { name: 'hetlora', gamma: 0.75, minRank: 2 },
    rule: 'hetlora',
    options: { gamma: 0.75, minRank: 2 },
    clients: mixed,
  },
  { algorithm: 'florana', rule: 'florana', clients: mixed },
  { algorithm: 'lorafair', rule: 'lorafair', clients: equal },
  {
    algorithm: { name: 'lorafair', objective: 'cosine', lambda: 0.001 },
    rule: 'lorafair',
    options: { objective: 'cosine', lambda: 0.001 },
    clients: equal,
  },
]

/** Clients and server hold float32: each element within 2^-24 of itself, a product of two of them a few times that; B·A sums cancel little here. */
const tolerance = 1e-6

for (const { algorithm, rule, options = {}, clients } of judged) {
  t.test(
    `${JSON.stringify(algorithm)} over ranks ${clients.map(({ space }) => space.modules[0]!.rank)} is ${rule}`,
    async (t) => {
      const federation = await open(t, algorithm, server, clients, { begun: true })
      const sent = federation.server.adapter.slice()
      const done = await federation.round()
      const want = combineFactors(rule, inputOf(clients, done, sent, options))
      for (const index of server.modules.keys()) {
        const got = deltaOf(federation.server.adapter, server, index, federation.server.state)
        const error = distance(got, want.delta(`${index}`))
        t.ok(error <= tolerance, `module ${index}: ${error}`)
      }
      const miss = Math.abs(done.aggregationError! - want.aggregationError)
      t.ok(miss <= tolerance, `error ${done.aggregationError}, by the rule ${want.aggregationError}`)
      const few = { after: done.after.slice(1) }
      const other = combineFactors(rule, inputOf(clients.slice(1), few, sent, options))
      const wrong = distance(deltaOf(federation.server.adapter, server, 0, federation.server.state), other.delta('0'))
      t.notOk(wrong <= tolerance, 'canary: without one of them it is another matrix')
    },
  )
}

const exact: AlgorithmInput[] = ['ffa', 'rolora', 'flora', 'fedex', 'fedsvd', 'fedsb']

for (const algorithm of exact) {
  t.test(`${algorithm} is exact in every round, from a fresh adapter on`, async (t) => {
    const federation = await open(t, algorithm, server, equal)
    for (let round = 1; round <= 5; round++) {
      const { aggregationError } = await federation.round(round === 3 ? equal.slice(1) : equal)
      t.ok(aggregationError! <= 1e-6, `round ${round}: ${aggregationError}`)
    }
  })
}

t.test(
  'fedsb over an adapter that is continued is fedsb: A and B as they were, the mean of the cores between',
  async (t) => {
    const federation = await open(t, 'fedsb', server, equal, { begun: true })
    const begun = federation.server.adapter.slice()
    const done = await federation.round()
    const input = inputOf(equal, { after: equal.map(() => begun) }, begun)
    for (const [index, module] of Object.values(input.modules).entries()) {
      for (const [k, core] of done.cores.entries()) module.clients[k]!.R = core.slice(16 * index, 16 * index + 16)
    }
    const want = combineFactors('fedsb', input)
    for (const index of server.modules.keys()) {
      const got = deltaOf(federation.server.adapter, server, index)
      t.ok(distance(got, want.delta(`${index}`)) <= tolerance)
      t.notOk(distance(got, deltaOf(begun, server, index)) <= tolerance, 'canary: it is not what it was')
    }
    t.same(done.up, [128, 128, 128], 'two cores of 4 × 4')
  },
)

t.test('canary: FedIT is not exact with unequal clients', async (t) => {
  const federation = await open(t, 'fedit', server, equal)
  for (let round = 1; round <= 3; round++)
    t.notOk((await federation.round()).aggregationError! <= 1e-3, `round ${round}`)
})

const all: AlgorithmInput[] = [
  ...['fedit', ...exact, 'flexlora', 'hetlora', 'raflora', 'florana', 'lorafair'],
  { name: 'fedavg', padding: 'zero' },
] as AlgorithmInput[]

for (const algorithm of all) {
  t.test(`${JSON.stringify(algorithm)}: one client gives its own ΔW, clients that are alike the same`, async (t) => {
    const one = await open(t, algorithm, server, equal.slice(0, 1), { begun: true })
    const three = await open(
      t,
      algorithm,
      server,
      equal.map((client) => ({ ...client, salt: 1 })),
      { begun: true },
    )
    const { after, aggregationError } = await one.round()
    await three.round()
    // λ of LoRA-FAIR shrinks what it corrects, which is nothing here.
    t.ok(aggregationError! <= tolerance, `${aggregationError}`)
    for (const index of server.modules.keys()) {
      const own = deltaOf(after[0]!, server, index)
      const got = deltaOf(one.server.adapter, server, index, one.server.state)
      t.ok(distance(got, own) <= tolerance, `one client: ${distance(got, own)}`)
      const alike = deltaOf(three.server.adapter, server, index, three.server.state)
      t.ok(distance(alike, own) <= tolerance, `three: ${distance(alike, own)}`)
    }
  })
}

t.test(
  'what travels: half up for FFA and RoLoRA, half down for FFA; FLoRA’s downlink grows with the stack',
  async (t) => {
    const B = bytesIn(partOf(server, 'lora_B'))
    const A = bytesIn(partOf(server, 'lora_A'))
    const sums = async (algorithm: AlgorithmInput, rounds: number) => {
      const federation = await open(t, algorithm, server, equal)
      const seen: { up: number; down: number }[] = []
      for (let round = 0; round < rounds; round++) {
        const { up, down } = await federation.round()
        seen.push({ up: up[0]!, down: down[0]! })
      }
      return seen
    }
    t.same(await sums('ffa', 2), [
      { up: B, down: B },
      { up: B, down: B },
    ])
    t.same(await sums('rolora', 3), [
      { up: B, down: A + B },
      { up: A, down: A + B },
      { up: B, down: A + B },
    ])
    t.same(await sums('fedsvd', 2), [
      { up: B, down: A + B },
      { up: B, down: A + B },
    ])
    t.same(await sums('fedit', 1), [{ up: A + B, down: A + B }])
    // Σr = 12, then as much as a layer of 9 × 7 or 6 × 12 can have.
    const ranks = (q: number, down: number) => 4 * (q * (9 + 7) + down * (6 + 12))
    t.same(
      (await sums('flora', 3)).map(({ down }) => down - A - B),
      [0, ranks(7, 6), ranks(7, 6)],
    )
    t.same(
      (await sums('fedex', 3)).map(({ down }) => down - A - B),
      [0, ranks(7, 6), ranks(7, 6)],
    )
  },
)

t.test('a residual is capped, and what is cut is told; clients train beside it in their own scale', async (t) => {
  const small = spaceAt(1)
  const clients = equal.map((client) => ({ ...client, space: small }))
  const wide = await open(t, 'flora', small, clients, { maxResidualRank: 6 })
  const narrow = await open(t, 'flora', small, clients, { maxResidualRank: 2 })
  const first = await wide.round()
  t.equal(first.measurements.residualError, 0)
  t.same(wide.server.state.numbers.residualRanks, [3, 3])
  const cut = await narrow.round()
  t.same(narrow.server.state.numbers.residualRanks, [2, 2])
  let squares = 0
  let whole2 = 0
  for (const index of small.modules.keys()) {
    const rest = (federation: typeof wide) =>
      deltaOf(new Float32Array(small.length), small, index, federation.server.state)
    const missing = rest(wide).map((value, i) => value - rest(narrow)[i]!)
    squares += norm(missing) ** 2
    whole2 += norm(rest(narrow)) ** 2
  }
  const want = Math.sqrt(squares / whole2)
  t.ok(
    want > 0.01 && Math.abs(cut.measurements.residualError! - want) <= 1e-6,
    `${cut.measurements.residualError}, ${want}`,
  )
  t.ok(cut.aggregationError! > 0.01, 'the aggregation error knows of it too')
  const second = await wide.round()
  t.same(wide.server.state.numbers.residualRanks, [6, 6])
  t.ok(second.aggregationError! <= 1e-6)
  t.notOk(
    second.before[0]!.every((value, i) => value === first.before[0]![i]),
    'a new lora_A every round',
  )
  for (const { B } of small.modules)
    t.ok(second.before[0]!.subarray(B.offset, B.offset + B.length).every((b) => b === 0))

  const other = equal.map((client, k) => ({ ...client, space: k === 0 ? spaceAt(1, 0.5) : small }))
  const scaled = await open(t, 'flora', small, other)
  await scaled.round()
  const { residuals } = await scaled.round()
  t.equal(residuals.length, 3)
  const [own, others] = [residuals[0]!, residuals[1]!]
  t.same(own.ranks, [3, 3])
  // A [3, 7] is the same, B [9, 3] four times as large where the scale is a quarter.
  t.same(own.values.subarray(0, 21), others.values.subarray(0, 21))
  t.same(
    [...own.values.subarray(21, 48)],
    [...others.values.subarray(21, 48)].map((value) => 4 * value),
  )
})

t.test(
  'clients of their own ranks get their leading ranks; flexlora misses the tail of the singular values',
  async (t) => {
    for (const algorithm of ['flexlora', 'raflora', 'hetlora', 'florana', 'flora', 'fedex'] as const) {
      const federation = await open(t, algorithm, server, mixed)
      for (let round = 1; round <= 3; round++) {
        const sent = federation.server.adapter.slice()
        const ranks = mixed.map((client) => federation.spaceOf(client))
        const { before } = await federation.round()
        for (const [k, space] of ranks.entries()) {
          t.equal(before[k]!.length, space.length)
          t.same(before[k], fitRanks(sent, server, space))
        }
      }
    }
    const federation = await open(t, 'flexlora', server, equal, { begun: true })
    const sent = federation.server.adapter.slice()
    const done = await federation.round()
    const want = combineFactors('flexlora', inputOf(equal, done, sent))
    let [tail, total] = [0, 0]
    for (const index of server.modules.keys()) {
      const values = [...want.singularValues(`${index}`)]
      tail += values.slice(4).reduce((sum, value) => sum + value ** 2, 0)
      total += values.reduce((sum, value) => sum + value ** 2, 0)
    }
    t.ok(Math.abs(done.aggregationError! - Math.sqrt(tail / total)) <= tolerance)
  },
)

t.test('HetLoRA prunes: a client whose tail shrank goes on with fewer ranks, at its scale', async (t) => {
  const algorithm = { name: 'hetlora', gamma: 0.5, minRank: 1 } as const
  const federation = await open(t, algorithm, server, equal, { begun: true })
  const sent = federation.server.adapter.slice()
  const done = await federation.round()
  const tails = (values: Float32Array, space: Space) =>
    space.modules.reduce((sum, module) => {
      const { A, B } = factorsIn(values, module)
      return sum + norm(A.subarray(2 * module.in)) * norm((B as Float32Array).filter((_, i) => i % 4 >= 2))
    }, 0)
  const want = equal.map(({ space }, k) => (tails(done.after[k]!, space) < tails(sent, server) ? 2 : 4))
  t.same(
    equal.map(({ name }) => federation.server.rankOf(name)),
    want,
  )
  t.ok(new Set(want).size === 2, `canary: some are pruned and some are not: ${want}`)
  t.equal(done.measurements.meanRank, want.reduce((sum, rank) => sum + rank, 0) / 3)
  const next = await federation.round()
  t.same(
    next.before.map(({ length }) => length),
    want.map((rank) => spaceAt(rank).length),
  )
})

t.test('the order in which clients answer changes no bit', async (t) => {
  for (const algorithm of all) {
    const ends: Float32Array[] = []
    for (const clients of [equal, [equal[2]!, equal[0]!, equal[1]!]]) {
      const federation = await open(t, algorithm, server, clients)
      await federation.round()
      await federation.round()
      ends.push(federation.server.adapter, federation.server.state.vectors.residual ?? new Float32Array(1))
    }
    t.same(ends[0], ends[2], JSON.stringify(algorithm))
    t.same(ends[1], ends[3])
  }
})
