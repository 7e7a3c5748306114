/** The layout of what is trained: ranges of its parts, and the same adapter at other ranks. */
import t from 'tap'
import {
  fitRanks,
  gather,
  lengthOf,
  partOf,
  rangesOf,
  type Space,
  scatter,
  spaceOf,
  whole,
} from '../../src/federated/protocol/space.js'

/** Two layers of [out 3, in 2] and [out 2, in 4]. */
function spaceAt(rank: number, scaling: number): Space {
  let offset = 0
  const shapes = [
    ['q', 'A', rank, 2],
    ['q', 'B', 3, rank],
    ['v', 'A', rank, 4],
    ['v', 'B', 2, rank],
  ] as const
  const layout = shapes.map(([module, factor, rows, columns]) => {
    const entry = {
      name: `base_model.model.layers.0.${module}.lora_${factor}.weight`,
      part: `lora_${factor}` as const,
      shape: [rows, columns] as [number, number],
      offset,
      length: rows * columns,
    }
    offset += entry.length
    return entry
  })
  return spaceOf(
    layout,
    ['q', 'v'].map((module) => ({ module: `layers.0.${module}`, rank, scaling })),
  )
}

const random = (length: number) => Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(3 * i + 1)))

/** ΔW of a layer by plain loops. */
function product(values: Float32Array, space: Space, index: number): number[] {
  const { A, B, rank, scaling, in: inputs, out } = space.modules[index]!
  const delta: number[] = []
  for (let i = 0; i < out; i++) {
    for (let j = 0; j < inputs; j++) {
      let sum = 0
      for (let r = 0; r < rank; r++) sum += values[B.offset + i * rank + r]! * values[A.offset + r * inputs + j]!
      delta.push(scaling * sum)
    }
  }
  return delta
}

t.test('modules, parts and ranges', async (t) => {
  const space = spaceAt(2, 2)
  t.equal(space.length, 4 + 6 + 8 + 4)
  t.match(space.modules, [
    { module: 'layers.0.q', rank: 2, scaling: 2, in: 2, out: 3 },
    { module: 'layers.0.v', rank: 2, scaling: 2, in: 4, out: 2 },
  ])
  t.same(partOf(space, 'lora_A'), [
    [0, 4],
    [10, 18],
  ])
  t.same(partOf(space, 'lora_B'), [
    [4, 10],
    [18, 22],
  ])
  t.same(
    rangesOf(space, ({ module }) => module.endsWith('v')),
    [[10, 22]],
    'neighbours are joined',
  )
  t.same(whole(space), [[0, 22]])
  t.equal(lengthOf(partOf(space, 'lora_B')), 10)
})

t.test('gather and scatter are each other’s inverse', async (t) => {
  const space = spaceAt(2, 2)
  const values = random(space.length)
  const parts = partOf(space, 'lora_B')
  const back = new Float32Array(space.length)
  scatter(back, parts, gather(values, parts))
  scatter(back, partOf(space, 'lora_A'), gather(values, partOf(space, 'lora_A')))
  t.same(back, values)
})

t.test(
  'at a higher rank the product is the same, whatever the scales; at a lower one the leading ranks stay',
  async (t) => {
    const small = spaceAt(2, 4)
    const large = spaceAt(3, 1)
    const values = random(small.length)
    const grown = fitRanks(values, small, large)
    for (const index of [0, 1])
      t.same(product(grown, large, index), product(values, small, index), 'powers of two: exact')
    t.same(fitRanks(grown, large, small), values, 'and back again')
    const full = random(large.length)
    const cut = fitRanks(full, large, small)
    const leading = full.slice()
    for (const { A, B, out, in: inputs } of large.modules) {
      leading.fill(0, A.offset + 2 * inputs, A.offset + 3 * inputs)
      for (let row = 0; row < out; row++) leading[B.offset + 3 * row + 2] = 0
    }
    for (const index of [0, 1]) t.same(product(cut, small, index), product(leading, large, index))
    t.notSame(product(cut, small, 0), product(full, large, 0), 'canary: something was cut')
  },
)
