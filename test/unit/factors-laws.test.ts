/** Laws of the rules for LoRA factors, whatever the numbers are: one client, equal clients, zeros, exact rules, the order of clients. */
import t from 'tap'
import { factorRules } from '../../src/aggregation/factors/rules.js'
import { combineFactors, type FactorRuleName } from '../../src/federated/index.js'
import {
  caseNames,
  distance,
  golden,
  goldenInput,
  type Held,
  moduleNames,
  norm,
  plainProduct,
  rows,
  scaling,
} from '../support/lora-golden.js'

/** Every rule with options that apply to any input, and what its clients hold. */
const rules: {
  rule: FactorRuleName
  held: Held
  options?: Record<string, unknown>
  exact?: true
  equalRanks?: true
}[] = [
  { rule: 'fedit', held: 'none', equalRanks: true },
  { rule: 'ffa', held: 'A', exact: true },
  { rule: 'fedsa', held: 'none' },
  { rule: 'rolora', held: 'A', options: { part: 'B' }, exact: true },
  { rule: 'rolora', held: 'B', options: { part: 'A' }, exact: true, equalRanks: true },
  { rule: 'flora', held: 'none', exact: true },
  { rule: 'zeropad', held: 'none' },
  { rule: 'hetlora', held: 'none', options: { gamma: 1 } },
  { rule: 'flexlora', held: 'none' },
  { rule: 'raflora', held: 'none' },
  { rule: 'fedex', held: 'none', exact: true },
  { rule: 'florana', held: 'none' },
  { rule: 'lorafair', held: 'none' },
  { rule: 'lorafair', held: 'none', options: { objective: 'cosine' } },
  { rule: 'fedsvd', held: 'A', exact: true },
  { rule: 'fedsb', held: 'AB', exact: true, equalRanks: true },
]
const label = ({ rule, options }: (typeof rules)[number]) => `${rule} ${JSON.stringify(options ?? {})}`
const casesOf = ({ equalRanks }: (typeof rules)[number]) => caseNames.filter((name) => name !== 'mixed' || !equalRanks)

/** Rounding in double; ridge and FLoRA-NA solve equations of condition λ⁻¹ and stop early. */
const rounding = 1e-12

for (const one of rules) {
  const { rule, held, options } = one

  t.test(`${label(one)}: one client gives its own update, whatever its weight`, async (t) => {
    for (const name of casesOf(one))
      for (let k = 0; k < 4; k++) {
        const input = goldenInput(name, options, { held, order: [k] })
        const combined = combineFactors(rule, { ...input, weights: [0.3] })
        for (const m of moduleNames) {
          const module = input.modules[m]!
          const { A, B, R, rank, alpha } = module.clients[0]!
          const cored = R === undefined ? B : plainProduct(B, R, [module.out, rank, rank])
          const scale = R === undefined ? alpha / rank : scaling
          const own = plainProduct(cored, A, [module.out, rank, module.in], scale)
          for (const got of [combined.delta(m), combined.deltaFor(m, 0)]) {
            const error = distance(got, own)
            t.ok(error <= rounding, `${name}/${m} client ${k}: ${error}`)
          }
        }
        t.ok(combined.aggregationError <= rounding)
      }
  })

  t.test(`${label(one)}: equal clients give what one gives, without an error`, async (t) => {
    const alone = combineFactors(rule, goldenInput('equal', options, { held, order: [1] }))
    const three = combineFactors(rule, goldenInput('equal', options, { held, order: [1, 1, 1] }))
    for (const m of moduleNames) {
      const error = distance(three.delta(m), alone.delta(m))
      t.ok(error <= rounding, `${m}: ${error}`)
    }
    t.ok(three.aggregationError <= rounding, `${three.aggregationError}`)
  })

  t.test(`${label(one)}: the order of clients changes nothing but rounding`, async (t) => {
    for (const name of casesOf(one)) {
      const forward = combineFactors(rule, goldenInput(name, options, { held }))
      const order = [2, 0, 3, 1]
      const other = combineFactors(rule, goldenInput(name, options, { held, order }))
      for (const m of moduleNames) {
        const within = rule === 'florana' || options?.objective === 'cosine' ? 1e-6 : rounding
        t.ok(distance(other.delta(m), forward.delta(m)) <= within, `${name}/${m}`)
        for (const [at, k] of order.entries())
          t.ok(distance(other.deltaFor(m, at), forward.deltaFor(m, k)) <= within, `${name}/${m} client ${k}`)
      }
      t.ok(Math.abs(other.aggregationError - forward.aggregationError) <= 1e-6)
    }
  })

  t.test(`${label(one)}: weights count by their shares; a client of weight 0 is not heard`, async (t) => {
    const input = goldenInput('equal', options, { held })
    const whole = combineFactors(rule, input)
    const scaled = combineFactors(rule, { ...input, weights: input.weights.map((weight) => weight / 7) })
    const silent = combineFactors(rule, {
      ...goldenInput('equal', options, { held, order: [0, 1, 2, 2] }),
      weights: [...rows.slice(0, 3), 0],
    })
    const three = combineFactors(rule, goldenInput('equal', options, { held, order: [0, 1, 2] }))
    for (const m of moduleNames) {
      t.ok(distance(scaled.delta(m), whole.delta(m)) <= 1e-9, m)
      if (rule !== 'hetlora') t.ok(distance(silent.delta(m), three.delta(m)) <= 1e-6, m)
    }
  })

  t.test(`${label(one)}: zeros give zeros`, async (t) => {
    const input = goldenInput('plain', options, { held })
    for (const module of Object.values(input.modules))
      for (const client of module.clients) {
        client.B = client.B.map(() => 0)
        client.R = client.R?.map(() => 0)
      }
    const combined = combineFactors(rule, input)
    t.equal(combined.aggregationError, 0)
    for (const m of moduleNames) {
      t.ok(combined.delta(m).every((value) => value === 0))
      t.ok(combined.singularValues(m).every((value) => value === 0))
      t.ok(combined.factors(m).A.every(Number.isFinite))
    }
  })

  t.test(`${label(one)}: float32 arrays are read as the numbers they hold`, async (t) => {
    const single = combineFactors(rule, goldenInput('plain', options, { held, width: 'float32' }))
    const wide = combineFactors(rule, goldenInput('plain', options, { held }))
    for (const m of moduleNames) t.strictSame(single.delta(m), wide.delta(m))
    t.equal(single.aggregationError, wide.aggregationError)
  })

  if (!one.exact) continue
  t.test(`${label(one)} is exact`, async (t) => {
    for (const name of casesOf(one)) {
      const { aggregationError } = combineFactors(rule, goldenInput(name, options, { held }))
      t.ok(aggregationError <= 1e-14, `${name}: ${aggregationError}`)
    }
  })
}

t.test('factors make up ΔW, singular values descend and have its norm', async (t) => {
  for (const one of rules) {
    const input = goldenInput('equal', one.options, { held: one.held })
    const combined = combineFactors(one.rule, input)
    for (const m of moduleNames) {
      const { out, in: inputs } = input.modules[m]!
      const { A, B, residual } = combined.factors(m)
      const delta = plainProduct(B, A, [out, B.length / out, inputs], scaling)
      if (residual !== undefined) {
        const rest = plainProduct(residual.B, residual.A, [out, residual.B.length / out, inputs])
        for (let i = 0; i < delta.length; i++) delta[i]! += rest[i]!
      }
      t.ok(distance(combined.delta(m), delta) <= rounding, `${label(one)} ${m}`)
      const values = combined.singularValues(m)
      t.equal(values.length, Math.min(out, inputs))
      t.ok(
        values.every((value, i) => i === 0 || value <= values[i - 1]!),
        `${label(one)} ${m}`,
      )
    }
  }
})

t.test('the reported error is that of ΔW beside the ideal in plain loops', async (t) => {
  for (const one of rules) {
    if (one.held !== 'none') continue
    for (const name of casesOf(one)) {
      const combined = combineFactors(one.rule, goldenInput(name, one.options))
      let [difference, ideal] = [0, 0]
      for (const m of moduleNames) {
        const want = golden.doubles(`${name}/${m}/ideal.dW`)
        difference += distance(combined.delta(m), want, [1]) ** 2
        ideal += norm(want) ** 2
      }
      const miss = Math.abs(combined.aggregationError - Math.sqrt(difference / ideal))
      t.ok(miss <= rounding, `${label(one)} ${name}: off by ${miss}`)
    }
  }
})

t.test('every rule stands under its own name', async (t) => {
  for (const [name, rule] of Object.entries(factorRules)) t.equal(rule.name, name)
})

t.test('options say their defaults: lorafair is ridge, rolora trains B', async (t) => {
  const said = combineFactors('lorafair', goldenInput('plain', { objective: 'ridge', lambda: 0.01 }))
  t.strictSame(said.delta('q'), combineFactors('lorafair', goldenInput('plain')).delta('q'))
  const part = combineFactors('rolora', goldenInput('plain', { part: 'B' }, { held: 'A' }))
  t.strictSame(part.delta('q'), combineFactors('rolora', goldenInput('plain', {}, { held: 'A' })).delta('q'))
})

t.test('fedsvd: A has orthonormal rows, and keeps them when B is zero', async (t) => {
  for (const zero of [false, true]) {
    const input = goldenInput('plain', {}, { held: 'A' })
    for (const client of input.modules.q!.clients) if (zero) client.B = client.B.map(() => 0)
    const { A } = combineFactors('fedsvd', input).factors('q')
    const inputs = input.modules.q!.in
    for (let i = 0; i < 8; i++)
      for (let j = 0; j < 8; j++) {
        let along = 0
        for (let c = 0; c < inputs; c++) along += A[i * inputs + c]! * A[j * inputs + c]!
        t.ok(Math.abs(along - Number(i === j)) <= rounding, `${i}, ${j}: ${along}`)
      }
  }
})

t.test('canary: a rule that forgets the scales of clients is called wrong', async (t) => {
  const input = goldenInput('equal')
  for (const module of Object.values(input.modules)) for (const client of module.clients) client.alpha = 16
  const combined = combineFactors('flexlora', input)
  for (const m of moduleNames)
    t.notOk(distance(combined.delta(m), golden.doubles(`equal/${m}/flexlora.dW`)) <= rounding)
})
