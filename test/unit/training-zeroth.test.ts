/** Forward-only training: golden directions and FedKSeed's rounds with the loss injected, what a step leaves, cancelling, failures. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { addDirections, directionStream } from '../../src/aggregation/normals.js'
import { pack } from '../../src/data/batches.js'
import type { Dataset } from '../../src/data/index.js'
import { loadDataset } from '../../src/data/index.js'
import { loadModel } from '../../src/model/load.js'
import { native } from '../../src/native/load.js'
import { philox } from '../../src/random/random.js'
import { holding } from '../../src/training/hold.js'
import {
  type BatchLoss,
  forwardLoss,
  type Perturbed,
  ZerothLoop,
  type ZerothParts,
  type ZerothRecipe,
} from '../../src/training/zeroth.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, tokenRows } from '../support/train.js'

interface Client {
  client: number
  seeds: number[]
  projected: number[]
  w: number[]
}
interface Golden {
  philox: { key: string; stream: string; counter: string; words: number[] }[]
  normal4: number[]
  fedkseed: {
    pool: number[]
    epsilon: number
    lr: number
    rows: number[]
    stream: string
    H: number[][][]
    b: number[][]
    w0: number[]
    z: number[][]
    rounds: { clients: Client[]; accumulated: number[]; w: number[] }[]
  }
}
const golden = JSON.parse(readFileSync('test/golden/federated/zeroth.json', 'utf8')) as Golden
const { pool, epsilon, lr, rows, H, b, w0, z, rounds } = golden.fedkseed

const farthest = (got: ArrayLike<number>, expected: readonly number[]) =>
  expected.reduce((most, value, i) => Math.max(most, Math.abs(got[i]! - value)), 0)

/** The vector of an adapter, without a model. */
function vectorOf(values: ArrayLike<number>): Perturbed & { values: Float32Array } {
  const held = Float32Array.from(values)
  return {
    values: held,
    read: () => held.slice(),
    write: (next) => held.set(next),
    addNormals: (seeds, scales, stream, ranges) => native().addNormals(held, seeds, scales, stream, ranges),
  }
}

const data: Dataset = await loadDataset(
  Array.from({ length: 5 }, (_, i) => ({ input_ids: [1, 10 + i], labels: [-100, 10 + i] })),
  { format: 'tokens' },
)
const recipe: ZerothRecipe = { batchSize: 1, learningRate: lr, epsilon, seed: 0, shuffle: false, steps: 5 }
const { signal } = new AbortController()
const loopOf = (parts: Partial<ZerothParts> & Pick<ZerothParts, 'values' | 'loss'>) =>
  new ZerothLoop({ data, recipe, directions: (step) => step, ...parts })

t.test('Philox’s words and the normals of the goldens; the stream is theirs', async (t) => {
  for (const { key, stream, counter, words } of golden.philox) {
    t.same([...philox(BigInt(key), BigInt(stream), BigInt(counter))], words)
  }
  t.equal(String(directionStream), golden.fedkseed.stream)
  const direction = async (seed: number, length: number) => {
    const values = new Float32Array(length)
    await addDirections(values, [seed], [1])
    return values
  }
  t.ok(farthest(await direction(7, 12), golden.normal4) <= 1e-6)
  for (const [j, seed] of pool.entries()) {
    const error = farthest(await direction(seed, 24), z[j]!)
    t.ok(error <= 1e-6, `seed ${seed}: ${error}`)
    t.notOk(farthest(await direction(seed + 1, 24), z[j]!) <= 1e-6, 'canary: another seed')
  }
})

const dot = (x: ArrayLike<number>, y: readonly number[]) => y.reduce((sum, value, i) => sum + value * x[i]!, 0)
const gradient = (k: number, w: ArrayLike<number>) => H[k]!.map((row, i) => dot(w, row) - b[k]![i]!)
const quadratic = (k: number, w: ArrayLike<number>) => {
  const half = H[k]!.map((row) => dot(w, row) / 2)
  return dot(w, half) - dot(w, b[k]!)
}

t.test('three rounds of FedKSeed: steps, projected gradients, what seeds and sums give again', async (t) => {
  const accumulated = new Array<number>(pool.length).fill(0)
  let server = Float32Array.from(w0)
  const share = rows.map((count) => count / (rows[0]! + rows[1]!))
  for (const [r, round] of rounds.entries()) {
    for (const { client, seeds, projected, w } of round.clients) {
      const values = vectorOf(server)
      let saved = values.read()
      let side = 0
      // The exact two-point difference of the quadratic at the step's own w, so that only the arithmetic of the loop is judged.
      const loss = async (): Promise<BatchLoss> => {
        const index = seeds[loop.step]!
        const slope = dot(gradient(client, saved), z[index]!)
        const loss = (side++ % 2 === 0 ? 1 : -1) * slope * epsilon
        return { loss, supervised: 1, tokens: 2 }
      }
      const loop = loopOf({ values, loss, directions: (step) => pool[seeds[step - 1]!]! })
      while (!loop.done) {
        const before = loop.step
        const step = (await loop.next(signal))!
        t.equal(step.direction, pool[seeds[before]!]!)
        t.ok(Math.abs(step.projected - projected[before]!) <= 1e-5 * Math.max(1, Math.abs(projected[before]!)))
        accumulated[seeds[before]!]! += share[client]! * step.projected
        saved = values.read()
      }
      const error = farthest(values.values, w)
      t.ok(error <= 1e-6, `round ${r}, client ${client}: ${error}`)
    }
    t.ok(farthest(accumulated, round.accumulated) <= 1e-5)
    const rebuilt = Float32Array.from(w0)
    await addDirections(
      rebuilt,
      pool,
      accumulated.map((sum) => -lr * sum),
    )
    const error = farthest(rebuilt, round.w)
    t.ok(error <= 1e-6, `round ${r}, rebuilt from the beginning: ${error}`)
    const turned = Float32Array.from(w0)
    await addDirections(
      turned,
      pool,
      accumulated.map((sum) => lr * sum),
    )
    t.notOk(farthest(turned, round.w) <= 1e-6, 'canary: a sign is seen')
    server = rebuilt
  }
})

t.test('by its own forward passes a step finds the slope along the direction', async (t) => {
  const values = vectorOf(w0)
  const wide = { ...recipe, epsilon: 0.05 } // rounding of w ± εz costs ε⁻¹·2⁻²⁴
  const loss = async (): Promise<BatchLoss> => ({ loss: quadratic(0, values.values), supervised: 1, tokens: 2 })
  const loop = loopOf({ values, loss, recipe: wide, directions: () => pool[0]! })
  const { projected } = (await loop.next(signal))!
  const slope = dot(gradient(0, w0), z[0]!)
  t.ok(Math.abs(projected - slope) <= 1e-4 * Math.max(1, Math.abs(slope)), `${projected} ${slope}`)
})

t.test('a step leaves saved − η·ê·z to the bit, in the ranges only', async (t) => {
  for (const ranges of [undefined, Float64Array.of(0, 3, 10, 20)]) {
    const values = vectorOf(w0)
    const seen: Float32Array[] = []
    const loss = async (): Promise<BatchLoss> => {
      seen.push(values.read())
      return { loss: seen.length, supervised: 3, tokens: 4 }
    }
    const loop = loopOf({ values, loss, ...(ranges && { ranges }), directions: () => 9 })
    const step = (await loop.next(signal))!
    t.match(step, { direction: 9, loss: 1.5, supervised: 3, tokens: 8 })
    t.equal(step.projected, -1 / (2 * epsilon))
    const moved = (scale: number) => {
      const vector = Float32Array.from(w0)
      native().addNormals(vector, Float64Array.of(9), Float64Array.of(scale), directionStream, ranges)
      return bytesOf(vector)
    }
    t.ok(bytesOf(seen[0]!).equals(moved(epsilon)), 'the first side')
    t.ok(bytesOf(seen[1]!).equals(moved(-epsilon)), 'the second is made of the saved values, not of the first')
    t.ok(bytesOf(values.values).equals(moved(-lr * step.projected)))
    t.notOk(bytesOf(values.values).equals(moved(lr * step.projected)), 'canary: the sign')
    if (ranges) t.equal(values.values[3], Math.fround(w0[3]!))
  }
})

t.test('a slope of 1 moves the values like any other; one of 0 leaves them', async (t) => {
  for (const slope of [1, 0]) {
    const values = vectorOf(w0)
    const losses = [2 * epsilon * slope, 0]
    const loss = async (): Promise<BatchLoss> => ({ loss: losses.shift()!, supervised: 1, tokens: 2 })
    const step = (await loopOf({ values, loss, directions: () => 9 }).next(signal))!
    t.equal(step.projected, slope)
    const moved = Float32Array.from(w0)
    native().addNormals(moved, Float64Array.of(9), Float64Array.of(-lr * slope), directionStream)
    t.ok(bytesOf(values.values).equals(bytesOf(moved)))
  }
})

t.test('without supervised tokens, cancelled or failed, nothing has changed, and the rows come again', async (t) => {
  const fresh = bytesOf(Float32Array.from(w0))
  const batches: number[][] = []
  const values = vectorOf(w0)
  const stop = new AbortController()
  let answer: () => BatchLoss = () => ({ loss: Number.NaN, supervised: 0, tokens: 1 })
  const loss: ZerothParts['loss'] = async ({ indices }) => {
    batches.push(indices)
    return answer()
  }
  const loop = loopOf({ values, loss })
  t.match(await loop.next(signal), { projected: 0, supervised: 0, tokens: 2 })
  t.equal(loop.step, 1)
  answer = () => {
    stop.abort()
    return { loss: 1, supervised: 1, tokens: 1 }
  }
  t.equal(await loop.next(stop.signal), null, 'between the sides')
  t.equal(await loop.next(stop.signal), null, 'before the first')
  answer = () => ({ loss: Number.POSITIVE_INFINITY, supervised: 1, tokens: 1 })
  await t.rejects(loop.next(signal), { code: 'E_NONFINITE', message: /step 2 over the rows 1:.*direction 2/ })
  answer = () => {
    throw new Error('gone')
  }
  await t.rejects(loop.next(signal), { message: 'gone' })
  t.ok(bytesOf(values.values).equals(fresh))
  t.equal(loop.step, 1)
  t.same([...new Set(batches.slice(2).flat())], [1], 'row 1 each time')
  answer = () => ({ loss: 1, supervised: 1, tokens: 1 })
  t.ok(await loop.next(signal), 'and then it goes on')
})

t.test('over a model: one forward pass a side, the loss of evaluation, equal bits again', async (t) => {
  using model = await loadModel(goldenFolder('llama'))
  const rows = await tokenRows(6, model.config.vocabulary)
  const run = async () => {
    using adapter = model.createAdapter({ rank: 4, seed: 3 })
    const losses: number[] = []
    const before = adapter.vector()
    await holding('train', adapter, signal, async ({ model, values, signal }) => {
      const samples = [rows.sample(0), rows.sample(1)]
      const { lossSum, supervised, tokens } = await model.evaluate(values, pack(samples))
      t.ok(supervised > 1)
      t.same(await forwardLoss(model, values)({ samples, indices: [0, 1] }), {
        loss: lossSum / supervised,
        supervised,
        tokens,
      })
      const loop = new ZerothLoop({
        values,
        data: rows,
        recipe: { batchSize: 2, learningRate: 1e-3, epsilon: 1e-3, seed: 1, shuffle: true, steps: 3 },
        directions: (step) => 100 + step,
        loss: forwardLoss(model, values),
      })
      while (!loop.done) losses.push((await loop.next(signal))!.loss)
    })
    return { losses, before, after: adapter.vector() }
  }
  const [first, second] = [await run(), await run()]
  t.ok(first.losses.every((loss) => loss > 0 && Number.isFinite(loss)))
  t.same(first.losses, second.losses)
  t.ok(bytesOf(first.after).equals(bytesOf(second.after)))
  t.notOk(bytesOf(first.after).equals(bytesOf(first.before)))
})

t.test('long sums: ranges and slices change no bit', async (t) => {
  const length = 100_000
  const seeds = Array.from({ length: 700 }, (_, j) => j * 12345)
  const scales = seeds.map((_, j) => Math.sin(j))
  const whole = new Float32Array(length)
  await addDirections(whole, seeds, scales)
  const parts = new Float32Array(length)
  await addDirections(parts, seeds, scales, [
    [0, 33],
    [33, 70_001],
  ])
  await addDirections(parts, seeds, scales, [[70_001, length]])
  t.ok(bytesOf(parts).equals(bytesOf(whole)))
  const at = new Float32Array(length)
  native().addNormals(at, Float64Array.from(seeds), Float64Array.from(scales), directionStream)
  t.ok(bytesOf(at).equals(bytesOf(whole)))
})

t.test('what directions refuse', async (t) => {
  const x = new Float32Array(8)
  const table: [string, () => Promise<void>, string, RegExp][] = [
    ['a scale too few', () => addDirections(x, [1, 2], [1]), 'E_ARGUMENT', /1 scales for 2 seeds/],
    ['a negative seed', () => addDirections(x, [-1], [1]), 'E_ARGUMENT', /seed -1/],
    ['half a seed', () => addDirections(x, [0.5], [1]), 'E_ARGUMENT', /seed 0.5/],
    ['a seed too large', () => addDirections(x, [2 ** 53], [1]), 'E_ARGUMENT', /seed/],
    ['a scale that is no number', () => addDirections(x, [1], [Number.NaN]), 'E_NONFINITE', /scale/],
    ['a range beyond the end', () => addDirections(x, [1], [1], [[0, 9]]), 'E_ARGUMENT', /range/],
    ['no vector', () => addDirections([1, 2] as never, [1], [1]), 'E_ARGUMENT', /Float32Array/],
  ]
  for (const [what, call, code, message] of table) await t.rejects(call(), { code, message }, what)
  t.ok(x.every((value) => value === 0))
})
