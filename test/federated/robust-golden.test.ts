/** The robust rules beside golden vectors of six sets: values, selections, what is refused; float64 and float32; canaries. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { type CombinedVectors, combineVectors } from '../../src/federated/index.js'
import { GoldenFile } from '../support/safetensors.js'

const folder = 'test/golden/federated'
const golden = new GoldenFile(`${folder}/robust.safetensors`)
const { sets, refuse } = JSON.parse(readFileSync(`${folder}/robust.json`, 'utf8'))

type Type = typeof Float32Array | typeof Float64Array

interface Set {
  n: number
  f: number
  norm_bound: number
}

function rowsOf(name: string, Type: Type) {
  const { n } = sets[name] as Set
  const rows = golden.doubles(`${name}.rows`)
  const length = rows.length / n
  return Array.from({ length: n }, (_, k) => Type.from(rows.subarray(k * length, (k + 1) * length)))
}

/** Rule, golden array, whether weights are given, options. Values as far apart as `tolerance` of the largest are equal. */
interface Case {
  rule: string
  array: string
  weighted?: boolean
  tolerance?: number
  options: (set: Set, name: string, Type: Type) => object
}

const f = ({ f }: Set) => ({ f })
const root = (_: Set, name: string, Type: Type) => ({ root: Type.from(golden.doubles(`${name}.root`)) })
const cases: Case[] = [
  { rule: 'krum', array: 'krum', options: f },
  { rule: 'multikrum', array: 'multikrum', options: f },
  { rule: 'multikrum', array: 'multikrum_weighted', weighted: true, options: f },
  { rule: 'multikrum', array: 'krum', options: ({ f }) => ({ f, m: 1 }) },
  { rule: 'median', array: 'median', options: () => ({}) },
  { rule: 'trimmedmean', array: 'trimmed', options: f },
  { rule: 'bulyan', array: 'bulyan', options: f },
  { rule: 'geomedian', array: 'geomedian', tolerance: 1e-6, options: () => ({}) },
  { rule: 'geomedian', array: 'geomedian_weighted', weighted: true, tolerance: 1e-6, options: () => ({}) },
  { rule: 'normbound', array: 'normbound', weighted: true, options: ({ norm_bound }) => ({ bound: norm_bound }) },
  { rule: 'fltrust', array: 'fltrust', options: root },
]

function run({ rule, weighted, options }: Case, name: string, Type: Type): CombinedVectors {
  const weights = weighted ? { weights: [...golden.doubles(`${name}.weights`)] } : {}
  return combineVectors(rule, { updates: rowsOf(name, Type), ...weights, options: options(sets[name], name, Type) })
}

/** How far a value is from the golden one, by the largest of its elements. */
function distance(value: ArrayLike<number>, array: string): number {
  const expected = golden.doubles(array)
  let [worst, largest] = [0, 0]
  for (const [i, x] of expected.entries()) {
    largest = Math.max(largest, Math.abs(x))
    const error = Math.abs(value[i]! - x)
    if (!(error <= worst)) worst = error
  }
  return largest > 0 ? worst / largest : worst
}

t.test('values and selections', async (t) => {
  for (const name of Object.keys(sets)) {
    for (const one of cases) {
      const array = `${name}.${one.array}`
      if (!golden.names().includes(array)) continue
      const [double, single] = [run(one, name, Float64Array), run(one, name, Float32Array)]
      const [far, farther] = [distance(double.value, array), distance(single.value, array)]
      t.ok(far <= (one.tolerance ?? 1e-12), `${one.rule} ${array} in double: ${far}`)
      t.ok(farther <= 1e-6, `${one.rule} ${array} in float32: ${farther}`)
      t.equal(double.value.constructor, Float64Array)
      t.equal(single.value.constructor, Float32Array)
      const selected = `${name}.${one.array.replace('_weighted', '')}.selected`
      if (!golden.names().includes(selected)) continue
      const expected = [...golden.get(selected).values]
      t.same(double.selected, expected, `${one.rule} ${name}: selected`)
      t.same(single.selected, expected)
    }
  }
})

t.test('canaries: another f, other weights, another rule are called wrong', async (t) => {
  const far = (rule: string, name: string, array: string, given: object) =>
    distance(combineVectors(rule, { updates: rowsOf(name, Float64Array), ...given }).value, `${name}.${array}`)
  t.notOk(far('trimmedmean', 'limit_bulyan', 'trimmed', { options: { f: 1 } }) <= 1e-6)
  t.notOk(far('multikrum', 'limit_bulyan', 'multikrum', { options: { f: 1 } }) <= 1e-6)
  t.notOk(far('multikrum', 'limit_bulyan', 'multikrum_weighted', { options: { f: 2 } }) <= 1e-6)
  t.notOk(far('bulyan', 'little', 'bulyan_once', { options: { f: 2 } }) <= 1e-6, 'not flwr’s, once')
  t.notOk(far('geomedian', 'little', 'geomedian_weighted', {}) <= 1e-6)
  t.notOk(far('geomedian', 'little', 'geomedian', { options: { iterations: 2 } }) <= 1e-6)
  t.notOk(far('normbound', 'little', 'normbound', { options: { bound: 1.9 } }) <= 1e-6)
  t.notOk(far('mean', 'limit_krum', 'median', {}) <= 1e-6)
})

const names: Record<string, string> = { trimmed: 'trimmedmean', any: 'krum' }

t.test('what must be refused is', async (t) => {
  for (const one of refuse) {
    if (one.with_ === 'secure aggregation') continue // no federation here: the table of combinations says it
    const rule = names[one.rule] ?? one.rule
    const n = one.n ?? 11
    const updates = Array.from({ length: n }, (_, k) => Float64Array.of(1 + k / 16, 2, 3 - k / 16))
    const bad = one.rows !== undefined
    if (bad) updates[4]![1] = Number.NaN
    const defaults: Record<string, object> = { normbound: { bound: 1 }, fltrust: { root: Float64Array.of(1, 2, 3) } }
    const takesF = ['krum', 'multikrum', 'trimmedmean', 'bulyan'].includes(rule)
    const options = {
      ...(takesF ? { f: one.f ?? 2 } : defaults[rule]),
      ...(one.m === undefined ? {} : { m: one.m }),
      ...(one.norm_bound === undefined ? {} : { bound: one.norm_bound }),
      ...(one.root === undefined ? {} : { root: new Float64Array(3) }),
    }
    const code = bad ? 'E_NONFINITE' : /^E_(ARGUMENT|CONFIG)$/
    const message = bad ? /updates\[4\]: element 1 is NaN/ : /expected|at least/
    t.throws(() => combineVectors(rule, { updates, options }), { code, message }, JSON.stringify(one))
  }
})
