/** Laws of the robust rules: permutation, translation, scaling, breakdown, ties; the same bits from a file and by tiles; refusals at the door. */
import t from 'tap'
import { chooseVectorRule } from '../../src/aggregation/rules/index.js'
import { UpdateFile } from '../../src/aggregation/update-set.js'
import { combineVectors, type WholeRule } from '../../src/federated/index.js'
import { Random } from '../../src/random/random.js'
import { bytesOf } from '../support/train.js'

type Values = Float32Array | Float64Array
const types = [Float32Array, Float64Array] as const

/** Cheap values without ties, for long vectors. */
const waves = (Type: (typeof types)[number], n: number, length: number): Values[] =>
  Array.from({ length: n }, (_, k) => Type.from(Array.from({ length }, (_, i) => Math.sin(i * (k + 1) + k))))

function draw(Type: (typeof types)[number], n: number, length: number, seed: number): Values[] {
  const random = new Random(seed, 83)
  const common = Array.from({ length }, () => random.normal())
  return Array.from({ length: n }, () => Type.from(common.map((value) => value + 0.3 * random.normal())))
}

const rules: [rule: string, options: (length: number) => object][] = [
  ['krum', () => ({ f: 2 })],
  ['multikrum', () => ({ f: 2 })],
  ['multikrum', () => ({ f: 2, m: 3 })],
  ['median', () => ({})],
  ['trimmedmean', () => ({ f: 2 })],
  ['bulyan', () => ({ f: 2 })],
  ['geomedian', () => ({})],
  ['normbound', () => ({ bound: 4 })],
  ['fltrust', (length) => ({ root: Float64Array.from({ length }, (_, i) => Math.cos(i)) })],
]

function farthest(a: Values, b: ArrayLike<number>): number {
  let worst = 0
  for (const [i, value] of a.entries()) {
    const error = Math.abs(value - b[i]!)
    if (!(error <= worst)) worst = error
  }
  return worst
}

const weights = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]

t.test('the order of updates changes nothing, and what is selected are the same updates', async (t) => {
  for (const Type of types) {
    const updates = draw(Type, 11, 1000, 1)
    const turn = [7, 2, 10, 0, 4, 9, 1, 3, 8, 6, 5]
    for (const [rule, optionsOf] of rules) {
      const options = optionsOf(1000)
      const straight = combineVectors(rule, { updates, weights, options })
      const turned = combineVectors(rule, {
        updates: turn.map((k) => updates[k]!),
        weights: turn.map((k) => weights[k]!),
        options,
      })
      // Sums in double in another order, then one rounding to the type: 2⁻²⁴ and 2⁻⁵² of values below 8; Weiszfeld stops by its tolerance.
      const bound = Type === Float32Array ? 2 ** -21 : rule === 'geomedian' ? 1e-10 : 2 ** -48
      t.ok(farthest(turned.value, straight.value) <= bound, `${rule} ${Type.name}`)
      const named = turned.selected?.map((place) => turn[place]!)
      if (rule === 'fltrust') named?.sort((a, b) => a - b)
      t.same(named, straight.selected, `${rule}: selected`)
      const other = combineVectors(rule, { updates: draw(Type, 11, 1000, 2), weights, options }).value
      t.notOk(farthest(other, straight.value) <= 1e-3, `canary: ${rule} of other updates`)
    }
  }
})

t.test(
  'geomedian: of updates of another size the same iterations, since it stops where little has moved for their size',
  async (t) => {
    const updates = draw(Float64Array, 11, 300, 5)
    const at = (scale: number, options: object = {}) => {
      const scaled = updates.map((update) => update.map((value) => scale * value))
      return combineVectors('geomedian', { updates: scaled, options: { smoothing: 1e-9 * scale, ...options } }).value
    }
    const plain = at(1)
    for (const scale of [2 ** 20, 2 ** -20])
      t.same(
        at(scale).map((value) => value / scale),
        plain,
        `${scale}: a power of two, so bit for bit`,
      )
    t.notSame(at(1, { iterations: 2 }), plain, 'canary: fewer iterations are seen')
  },
)

t.test('translation and scaling go through, where a rule has no origin of its own', async (t) => {
  const updates = draw(Float64Array, 11, 500, 3)
  const shift = draw(Float64Array, 1, 500, 4)[0]!
  for (const [rule, optionsOf] of rules) {
    const options = optionsOf(500)
    const plain = combineVectors(rule, { updates, weights, options })
    const moved = combineVectors(rule, {
      updates: updates.map((x) => x.map((value, i) => value + 3 * shift[i]!)),
      weights,
      options,
    })
    const expected = plain.value.map((value, i) => value + 3 * shift[i]!)
    const origin = ['normbound', 'fltrust'].includes(rule)
    t.equal(farthest(moved.value, expected) <= 1e-9, !origin, `${rule}: translation`)
    const grown = combineVectors(rule, {
      updates: updates.map((x) => x.map((value) => 1024 * value)),
      weights,
      options: rule === 'normbound' ? { bound: 4 * 1024 } : options,
    })
    const scaled = plain.value.map((value) => (rule === 'fltrust' ? 1 : 1024) * value)
    t.ok(farthest(grown.value, scaled) <= 1024 * 1e-9, `${rule}: scaling`)
    t.same(grown.selected, plain.selected)
  }
})

t.test('breakdown: f giants move no rule far, f + 1 of n at the limit move the mean', async (t) => {
  for (const Type of types) {
    const honest = draw(Type, 9, 400, 5)
    const mean = combineVectors('mean', { updates: honest }).value
    const distance = (value: Values) => Math.sqrt([...value].reduce((sum, x, i) => sum + (x - mean[i]!) ** 2, 0))
    const reach = Math.max(...honest.map(distance))
    for (const giant of [1e4, -1e15, 1e30]) {
      const updates = [
        ...honest,
        Type.from(Array.from(honest[0]!, () => giant)),
        Type.from(Array.from(honest[0]!, (_, i) => giant * (i % 3))),
      ]
      for (const [rule, optionsOf] of rules) {
        if (rule === 'normbound' || rule === 'fltrust') continue
        const { value, selected } = combineVectors(rule, { updates, options: optionsOf(400) })
        t.ok(distance(value) <= 2 * reach, `${rule} ${Type.name} ${giant}: ${distance(value) / reach} of the reach`)
        const first = selected?.slice(0, ['krum', 'multikrum'].includes(rule) ? 7 : 0) ?? []
        t.ok(
          first.every((k) => k < 9),
          `${rule}: the giants are not selected`,
        )
      }
      t.notOk(distance(combineVectors('mean', { updates }).value) <= 2 * reach, 'canary: the mean is moved')
      const bounded = combineVectors('normbound', { updates, options: { bound: 20 } }).value
      t.ok(distance(bounded) <= 2 * 20, 'normbound: at the bound')
      const trusted = combineVectors('fltrust', { updates, options: { root: mean } })
      t.ok(Math.hypot(...trusted.value) <= Math.hypot(...mean) * (1 + 1e-6), 'fltrust: at the norm of the root')
    }
  }
})

t.test('equal updates: the lower place is taken', async (t) => {
  const [a] = draw(Float64Array, 1, 30, 6)
  const updates = Array.from({ length: 11 }, () => a!.slice())
  for (const [rule, optionsOf] of rules) {
    const { value, selected } = combineVectors(rule, { updates, options: optionsOf(30) })
    if (rule !== 'fltrust' && rule !== 'normbound') t.ok(farthest(value, a!) <= 1e-15 * 4, rule)
    if (selected && rule !== 'fltrust') t.same(selected, [...selected.keys()], rule)
  }
})

t.test('from a file, in several tiles, the bits are the same', async (t) => {
  const length = 200_001
  const updates = waves(Float32Array, 11, length) as Float32Array[]
  using file = await UpdateFile.create()
  for (const [k, update] of updates.entries()) await file.add(`client ${k}`, update)
  for (const [name, optionsOf] of rules) {
    const options = optionsOf(length)
    const known = combineVectors(name, { updates, weights, options })
    const { rule, options: checked } = chooseVectorRule(name, options)
    const value = new Float32Array(length)
    const { selected } = (rule as WholeRule).combine(file, weights, value, checked)
    t.ok(bytesOf(value).equals(bytesOf(known.value)), name)
    t.same(selected, known.selected)
  }
})

t.test('beside plain loops, over several tiles', async (t) => {
  const [n, length] = [7, 300_003]
  for (const Type of types) {
    const updates = waves(Type, n, length)
    const median = combineVectors('median', { updates }).value
    const trimmed = combineVectors('trimmedmean', { updates, options: { f: 1 } }).value
    let wrong = 0
    for (let i = 0; i < length; i += 97) {
      const sorted = updates.map((x) => x[i]!).sort((a, b) => a - b)
      const sum = sorted.slice(1, -1).reduce((sum, x) => sum + x, 0)
      if (median[i] !== sorted[3] || trimmed[i] !== Type.of(sum / 5)[0]) wrong++
    }
    t.equal(wrong, 0, Type.name)
  }
})

t.test('what lies in any tile counts: in the distances, the norms, the products and the sums', async (t) => {
  const [n, length] = [5, 500_001]
  const places = [0, 200_000, 450_000, length - 1]
  for (const Type of types) {
    for (const place of places) {
      const updates = Array.from({ length: n }, (_, k) => {
        const update = new Type(length)
        update[place] = [1, 1.25, 1.125, 9, 1.5][k]!
        return update
      })
      const call = (rule: string, options: object) =>
        combineVectors(rule, { updates, weights: [1, 2, 3, 4, 5], options })
      const name = `${Type.name}, element ${place}`
      t.same(call('krum', { f: 0 }).selected, [1], `krum: ${name}`)
      t.equal(call('multikrum', { f: 1, m: 2 }).value[place], (3 * 1.125 + 1) / 4, `multikrum: ${name}`)
      t.equal(call('normbound', { bound: 0.5 }).value[place], 0.5, `normbound: ${name}`)
      const root = new Type(length)
      root[place] = 2
      t.equal(call('fltrust', { root }).value[place], 2, `fltrust: ${name}`)
      t.ok(Math.abs(call('geomedian', {}).value[place]! - 1.5) < 1e-4, `geomedian: ${name}`)
    }
  }
})

t.test('what is refused at the door', async (t) => {
  const updates = draw(Float32Array, 11, 4, 9)
  const huge = [...draw(Float64Array, 10, 4, 9), Float64Array.of(1e200, 0, 0, 0)]
  const table: [rule: string, given: object, code: string, message: RegExp][] = [
    ['krum', {}, 'E_CONFIG', /f/],
    ['krum', { f: -1 }, 'E_CONFIG', /f/],
    ['krum', { f: 1.5 }, 'E_CONFIG', /f/],
    ['krum', { f: Number.NaN }, 'E_CONFIG', /f/],
    ['krum', { f: '2' }, 'E_CONFIG', /f/],
    ['krum', { f: 5 }, 'E_ARGUMENT', /11 updates are too few for f = 5: expected at least 2f \+ 3 = 13/],
    ['krum', { f: 1, m: 2 }, 'E_CONFIG', /unknown key "m"/],
    ['multikrum', { f: 2, m: 8 }, 'E_ARGUMENT', /at most n − f − 2 = 7/],
    ['multikrum', { f: 2, m: 0 }, 'E_CONFIG', /m/],
    ['multikrum', { f: 5, m: 1 }, 'E_ARGUMENT', /2f \+ 3 = 13/],
    ['trimmedmean', { f: 6 }, 'E_ARGUMENT', /more than 2f = 12/],
    ['bulyan', { f: 3 }, 'E_ARGUMENT', /4f \+ 3 = 15/],
    ['median', { f: 1 }, 'E_CONFIG', /unknown key "f"/],
    ['geomedian', { smoothing: 0 }, 'E_CONFIG', /smoothing/],
    ['geomedian', { iterations: 0 }, 'E_CONFIG', /iterations/],
    ['normbound', {}, 'E_CONFIG', /bound/],
    ['normbound', { bound: -1 }, 'E_CONFIG', /bound/],
    ['normbound', { bound: Number.POSITIVE_INFINITY }, 'E_CONFIG', /bound/],
    ['fltrust', {}, 'E_CONFIG', /\broot: /],
    ['fltrust', { root: [1, 2, 3, 4] }, 'E_CONFIG', /root.*Float32Array/],
    ['fltrust', { root: new Float32Array(3) }, 'E_SHAPE', /root has 3 values, expected 4/],
    ['fltrust', { root: new Float32Array(4) }, 'E_ARGUMENT', /root is zero/],
    ['fltrust', { root: Float32Array.of(1, Number.NaN, 0, 0) }, 'E_NONFINITE', /root: element 1 is NaN/],
  ]
  for (const [rule, options, code, message] of table) {
    t.throws(() => combineVectors(rule, { updates, options }), { code, message }, `${rule} ${JSON.stringify(options)}`)
  }
  t.throws(() => combineVectors('krom', { updates }), { code: 'E_CONFIG', message: /did you mean "krum"/ })
  for (const [rule, options] of [
    ['geomedian', {}],
    ['normbound', { bound: 1 }],
    ['fltrust', { root: Float64Array.of(1, 0, 0, 0) }],
  ] as const) {
    const message = /update 10: the square of its norm overflows/
    t.throws(() => combineVectors(rule, { updates: huge, options }), { code: 'E_NONFINITE', message }, rule)
  }
  t.ok(combineVectors('krum', { updates: huge, options: { f: 2 } }).selected![0]! < 10, 'krum passes it by')
  const all = huge.map((_, k) => Float64Array.of(k * 1e200, 0, 0, 0))
  t.throws(() => combineVectors('krum', { updates: all, options: { f: 0 } }), { code: 'E_NONFINITE' })
})
