/** A flat vector as named factors and back: every name, shape and element is looked at. */
import t from 'tap'
import { checkFinite, flatten, rangesOf, unflatten } from '../../src/model/layout.js'
import type { TensorLayout } from '../../src/native/binding.js'
import type { Refusal } from '../support/refusal.js'

const layout: TensorLayout[] = [
  { name: 'a.lora_A.weight', part: 'lora_A', shape: [1, 2], offset: 0, length: 2 },
  { name: 'a.lora_B.weight', part: 'lora_B', shape: [3, 1], offset: 2, length: 3 },
]
const flat = Float32Array.of(1, 2, 3, 4, 5)
const tensors = () => unflatten(layout, flat)

t.test('there and back', (t) => {
  t.same(
    [...tensors()],
    [
      ['a.lora_A.weight', { shape: [1, 2], data: Float32Array.of(1, 2) }],
      ['a.lora_B.weight', { shape: [3, 1], data: Float32Array.of(3, 4, 5) }],
    ],
  )
  t.same(flatten(layout, 5, tensors()), flat)
  tensors().get('a.lora_A.weight')!.data.fill(9)
  tensors().get('a.lora_A.weight')!.shape[0] = 9
  t.same([flat[0], layout[0]!.shape[0]], [1, 1], 'copies')
  const bare = new Map([...tensors()].map(([name, { data }]) => [name, { data }]))
  t.same(flatten(layout, 5, bare), flat, 'a shape may be left out')
  t.end()
})

t.test('ranges of chosen tensors: ascending, neighbours joined, the layout untouched', (t) => {
  const next = layout.map((tensor) => ({ ...tensor, name: `b${tensor.name}`, offset: tensor.offset + 5 }))
  const all = [...layout, ...next]
  t.same(
    rangesOf(all, () => true),
    [[0, 10]],
  )
  t.same(
    rangesOf(all, ({ part }) => part === 'lora_B'),
    [
      [2, 5],
      [7, 10],
    ],
  )
  t.same(
    rangesOf(all, ({ name }) => name !== 'a.lora_A.weight'),
    [[2, 10]],
  )
  t.same(
    rangesOf(all, () => false),
    [],
  )
  t.same(
    all.map(({ length }) => length),
    [2, 3, 2, 3],
  )
  t.end()
})

t.test('names: missing ones and those that have no place', (t) => {
  const refused = (change: (map: Map<string, unknown>) => void, expected: Refusal) => {
    const map = tensors() as Map<string, unknown>
    change(map)
    t.throws(() => flatten(layout, 5, map as never), expected)
  }
  refused((map) => map.delete('a.lora_B.weight'), {
    code: 'E_MISSING',
    message: 'adapter: 1 of 2 tensors are missing: a.lora_B.weight',
    details: { missing: ['a.lora_B.weight'] },
  })
  refused((map) => map.set('x', map.get('a.lora_A.weight')), {
    code: 'E_SHAPE',
    message: 'adapter: 1 tensors have no place in this adapter: x',
    details: { extra: ['x'] },
  })
  const many = (count: number) => (map: Map<string, unknown>) => {
    for (let i = 1; i <= count; i++) map.set(`x${i}`, map.get('a.lora_A.weight'))
  }
  refused(many(8), { code: 'E_SHAPE', message: /: x1, x2, x3, x4, x5, x6, x7, x8$/ })
  refused(many(10), { code: 'E_SHAPE', message: /: x1, x2, x3, x4, x5, x6, x7, x8 and 2 more$/ })
  t.end()
})

t.test('shapes and kinds', (t) => {
  const name = 'a.lora_B.weight'
  const refused = (value: unknown, code: string, message: RegExp) =>
    t.throws(() => flatten(layout, 5, new Map([...tensors(), [name, value]]) as never), {
      code,
      message,
      details: { tensor: name },
    })
  const data = Float32Array.of(3, 4, 5)
  refused({ shape: [1, 3], data }, 'E_SHAPE', /'a\.lora_B\.weight' has shape \[1, 3\] and 3 values, expected \[3, 1\]/)
  refused({ shape: [3, 2], data }, 'E_SHAPE', /\[3, 2\]/)
  refused({ shape: [2, 1], data }, 'E_SHAPE', /\[2, 1\]/)
  refused({ shape: [3], data }, 'E_SHAPE', /\[3\]/)
  refused({ shape: [3, 1, 1], data }, 'E_SHAPE', /\[3, 1, 1\]/)
  refused({ data: Float32Array.of(1, 2) }, 'E_SHAPE', /2 values/)
  refused({ data: [3, 4, 5] }, 'E_ARGUMENT', /got \[3,4,5\], expected \{ data: Float32Array \}/)
  refused({ data: Float64Array.of(3, 4, 5) }, 'E_ARGUMENT', /got a Float64Array/)
  refused(data, 'E_ARGUMENT', /got a Float32Array/)
  refused(null, 'E_ARGUMENT', /got null/)
  t.end()
})

t.test('a value that is no number is named by tensor and element', (t) => {
  t.doesNotThrow(() => checkFinite(layout, flat))
  const refused = (at: number, value: number, tensor: string, message: string) => {
    const bad = flat.slice()
    bad[at] = value
    t.throws(() => checkFinite(layout, bad), { code: 'E_NONFINITE', message, details: { tensor } })
  }
  refused(0, Number.NaN, 'a.lora_A.weight', "adapter tensor 'a.lora_A.weight' holds NaN at element 0")
  refused(
    1,
    Number.POSITIVE_INFINITY,
    'a.lora_A.weight',
    "adapter tensor 'a.lora_A.weight' holds Infinity at element 1",
  )
  refused(
    2,
    Number.NEGATIVE_INFINITY,
    'a.lora_B.weight',
    "adapter tensor 'a.lora_B.weight' holds -Infinity at element 0",
  )
  refused(4, Number.NaN, 'a.lora_B.weight', "adapter tensor 'a.lora_B.weight' holds NaN at element 2")
  t.end()
})
