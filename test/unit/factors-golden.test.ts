/** Every rule for LoRA factors beside golden/federated/lora.safetensors: NumPy in double, checked there against authors' code and invariants. */
import t from 'tap'
import { combineFactors, type FactorRuleName } from '../../src/federated/index.js'
import {
  type CaseName,
  distance,
  golden,
  goldenInput,
  type Held,
  moduleNames,
  norm,
  plainProduct,
  scaling,
  serverRank,
} from '../support/lora-golden.js'

/** Double: rounding of some hundred sums. */
const tolerance = 1e-12
const all: CaseName[] = ['plain', 'equal', 'mixed']
const equalRanks: CaseName[] = ['plain', 'equal']

interface Judged {
  rule: FactorRuleName
  /** Prefix of the arrays. */
  array: string
  cases: CaseName[]
  held?: Held
  options?: Record<string, unknown>
  /** Unique factors; after a singular value decomposition none are. */
  factors?: ('A' | 'B')[]
  views?: true
  values?: true
  tolerance?: number
}

const judged: Judged[] = [
  { rule: 'fedit', array: 'fedit', cases: equalRanks, factors: ['A', 'B'] },
  { rule: 'ffa', array: 'ffa', cases: equalRanks, held: 'A', factors: ['B'] },
  { rule: 'rolora', array: 'ffa', cases: equalRanks, held: 'A', options: { part: 'B' }, factors: ['B'] },
  { rule: 'rolora', array: 'rolora_a', cases: equalRanks, held: 'B', options: { part: 'A' }, factors: ['A'] },
  { rule: 'flora', array: 'flora', cases: all, factors: ['A', 'B'] },
  { rule: 'zeropad', array: 'zeropad', cases: all, factors: ['A', 'B'], views: true },
  { rule: 'flexlora', array: 'flexlora', cases: all, views: true, values: true },
  { rule: 'fedsa', array: 'fedsa', cases: equalRanks, factors: ['A'], views: true },
  { rule: 'raflora', array: 'raflora', cases: all, views: true, values: true },
  { rule: 'fedsvd', array: 'fedsvd', cases: equalRanks, held: 'A', values: true },
  { rule: 'fedsb', array: 'fedsb', cases: equalRanks, held: 'AB' },
  { rule: 'lorafair', array: 'lorafair_ridge', cases: equalRanks, factors: ['A', 'B'] },
  { rule: 'florana', array: 'florana', cases: all, tolerance: 1e-6 },
  { rule: 'fedex', array: 'fedex', cases: equalRanks, factors: ['A', 'B'] },
]

for (const one of judged) {
  const within = one.tolerance ?? tolerance
  t.test(`${one.rule} ${JSON.stringify(one.options ?? {})} gives the golden ΔW, error and factors`, async (t) => {
    for (const name of one.cases) {
      const combined = combineFactors(one.rule, goldenInput(name, one.options, { held: one.held ?? 'none' }))
      for (const m of moduleNames) {
        const want = (key: string) => golden.doubles(`${name}/${m}/${one.array}.${key}`)
        const scale = want('dW')
        const judge = (got: ArrayLike<number>, key: string) => {
          const error = distance(got, want(key), key.startsWith('dW') || key === 'S' ? scale : want(key))
          t.ok(error <= within, `${name}/${m} ${key}: ${error}`)
        }
        judge(combined.delta(m), 'dW')
        for (const key of one.factors ?? []) judge(combined.factors(m)[key], key)
        if (one.values) judge(combined.singularValues(m), 'S')
        for (let k = 0; one.views && k < 4; k++) judge(combined.deltaFor(m, k), `dW.${k}`)
        const alone = goldenInput(name, one.options, { held: one.held ?? 'none' })
        const { aggregationError } = combineFactors(one.rule, { ...alone, modules: { [m]: alone.modules[m]! } })
        const miss = Math.abs(aggregationError - want('error')[0]!)
        t.ok(miss <= within, `${name}/${m} error: ${aggregationError}, off by ${miss}`)
      }
      if (golden.names().includes(`${name}/${one.array}.error`)) {
        const miss = Math.abs(combined.aggregationError - golden.doubles(`${name}/${one.array}.error`)[0]!)
        t.ok(miss <= within, `${name} error over all modules: off by ${miss}`)
      }
    }
  })
}

t.test('fedex: the residual pair is what the means miss, of rank (K − 1)·r', async (t) => {
  for (const name of equalRanks) {
    const combined = combineFactors('fedex', goldenInput(name))
    for (const m of moduleNames) {
      const want = golden.doubles(`${name}/${m}/fedex.residual`)
      const { residual, A } = combined.factors(m)
      const inputs = A.length / serverRank
      const out = want.length / inputs
      const rank = residual!.B.length / out
      t.equal(rank, 3 * serverRank)
      const error = distance(
        plainProduct(residual!.B, residual!.A, [out, rank, inputs]),
        want,
        golden.doubles(`${name}/${m}/fedex.dW`),
      )
      t.ok(error <= tolerance, `${name}/${m}: ${error}`)
    }
  }
})

t.test('hetlora: pruned ranks, factors and the error against the uploads before pruning', async (t) => {
  for (const name of all) {
    const combined = combineFactors('hetlora', goldenInput(name, { gamma: 0.75, minRank: 2 }))
    let [difference, ideal] = [0, 0]
    for (const m of moduleNames) {
      const { A, B } = combined.factors(m)
      const wanted = { A: golden.doubles(`${name}/${m}/het.A`), B: golden.doubles(`${name}/${m}/het.B`) }
      const sides = [B.length / serverRank, serverRank, A.length / serverRank] as const
      t.ok(distance(A, wanted.A) <= tolerance, `${name}/${m} A: ${distance(A, wanted.A)}`)
      t.ok(distance(B, wanted.B) <= tolerance, `${name}/${m} B: ${distance(B, wanted.B)}`)
      const whole = plainProduct(wanted.B, wanted.A, sides, scaling)
      t.ok(distance(combined.delta(m), whole) <= tolerance)
      for (const [k, rank] of golden.get(`${name}/het.ranks`).values.entries()) {
        const cutA = wanted.A.slice(0, rank * sides[2])
        const cutB = wanted.B.filter((_, i) => i % serverRank < rank)
        const view = plainProduct(cutB, cutA, [sides[0], rank, sides[2]], scaling)
        t.ok(distance(combined.deltaFor(m, k), view) <= tolerance, `${name}/${m} client ${k} has rank ${rank}`)
      }
      const uploads = golden.doubles(`${name}/${m}/ideal.dW`)
      difference += distance(whole, uploads, [1]) ** 2
      ideal += norm(uploads) ** 2
    }
    t.ok(Math.abs(combined.aggregationError - Math.sqrt(difference / ideal)) <= tolerance)
  }
})

t.test('lorafair, cosine: the objective is not above the golden minimum', async (t) => {
  const lambda = 0.001
  for (const name of equalRanks) {
    const combined = combineFactors('lorafair', goldenInput(name, { objective: 'cosine', lambda }))
    for (const m of moduleNames) {
      const [got, ideal] = [combined.delta(m), golden.doubles(`${name}/${m}/ideal.dW`)]
      const naive = golden.doubles(`${name}/${m}/fedit.B`)
      const along = got.reduce((sum, value, i) => sum + value * ideal[i]!, 0)
      const objective = 1 - along / (norm(got) * norm(ideal)) + lambda * distance(combined.factors(m).B, naive, [1])
      const least = golden.doubles(`${name}/${m}/lorafair_cosine.objective`)[0]!
      t.ok(objective <= least + 1e-6, `${name}/${m}: ${objective}, golden ${least}`)
      t.ok(distance(combined.factors(m).A, golden.doubles(`${name}/${m}/fedit.A`)) <= tolerance)
    }
  }
})
