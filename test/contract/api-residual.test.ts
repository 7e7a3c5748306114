/**
 * Frozen factors beside an adapter's trained ones. The golden adapter of rank 8, split in each layer elsewhere into a trained and a frozen part,
 * is the same function: PyTorch's golden logits and gradients judge it.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import type { Adapter } from '../../src/model/adapter.js'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import type { FrozenResidual } from '../../src/model/residual.js'
import { train } from '../../src/training/train.js'
import {
  goldenAdapter,
  goldenFolder,
  goldenLogits,
  goldenRoot,
  maxError,
  relativeError,
  rowsOf,
} from '../support/golden-model.js'
import type { Refusal } from '../support/refusal.js'
import { GoldenFile } from '../support/safetensors.js'
import { bytesOf, sameBits, temporaryFolder, tokenRows } from '../support/train.js'

const reference = { quantization: 'none', compute: 'f32', threads: 2 } as const
const golden = new GoldenFile(join(goldenRoot, 'llama', 'golden.safetensors'))
const rows = rowsOf(golden)
const want = goldenLogits(
  golden,
  rows.inputIds.map(({ length }) => length),
)
const bound = 10 * golden.bound('f32_error.logits')

/** Ranks [from, to) of a factor of rank 8: rows of an A, columns of a B. */
function ranksOf(name: string, values: Float32Array, from: number, to: number): Float32Array {
  const width = values.length / 8
  if (name.includes('lora_A')) return values.slice(from * width, to * width)
  return Float32Array.from({ length: (to - from) * width }, (_, i) => {
    const rank = i % (to - from)
    return values[((i - rank) / (to - from)) * 8 + from + rank]!
  })
}

/** Ranks of the golden adapter that are frozen, layer after layer. */
const frozenRanks = [3, 0, 7, 1, 4]

/** The golden adapter, its last ranks of each layer frozen. */
function split(model: Model, rsLora = false): { adapter: Adapter; residual: FrozenResidual } {
  const modules = model.createAdapter({ rank: 8 }).targets
  const ranks = modules.map((_, i) => frozenRanks[i % frozenRanks.length]!)
  const rank = (i: number) => 8 - ranks[i]!
  const adapter = model.createAdapter({
    rank: 8,
    alpha: 16,
    rsLora,
    rankPattern: Object.fromEntries(modules.map((module, i) => [module, rank(i)])),
    alphaPattern: Object.fromEntries(modules.map((module, i) => [module, 2 * (rsLora ? Math.sqrt(rank(i)) : rank(i))])),
  })
  const whole = goldenAdapter(golden)
  const trained = adapter.layout.map(({ name }, i) => {
    const data = ranksOf(name, whole.get(name)!.data, 0, rank(i >> 1))
    return [name, { data }] as const
  })
  adapter.load(new Map(trained))
  const frozen = adapter.layout.flatMap(({ name }, i) => [...ranksOf(name, whole.get(name)!.data, rank(i >> 1), 8)])
  return { adapter, residual: { ranks, values: Float32Array.from(frozen) } }
}

async function logitsOf(model: Model, adapter: Adapter): Promise<Float32Array> {
  return (await model.logits({ inputIds: rows.inputIds }, { adapter })).data
}

t.test('split into trained and frozen ranks, the golden adapter gives its logits, loss and gradients', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const { adapter, residual } = split(model)
  t.notOk(maxError(await logitsOf(model, adapter), want) <= bound, 'canary: without the frozen part')
  adapter.setResidual(residual)
  t.ok(maxError(await logitsOf(model, adapter), want) <= bound)
  const { loss, gradients } = await adapter.gradients(rows)
  t.ok(Math.abs(loss - golden.get('loss').values[0]!) <= 2e-6 * loss)
  for (const { name, part, shape } of adapter.layout) {
    const rank = part === 'lora_A' ? shape[0] : shape[1]
    const expected = ranksOf(name, golden.get(`grad.${name}`).values as Float32Array, 0, rank)
    t.ok(relativeError(gradients.get(name)!, expected) <= 10 * golden.bound('f32_error.grad_relative'), name)
  }
  const values = residual.values.slice()
  values[0]! *= 1.5
  adapter.setResidual({ ...residual, values })
  t.notOk(maxError(await logitsOf(model, adapter), want) <= bound, 'canary: one wrong value')
})

t.test('merged: the frozen part goes into the weights, too', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const { adapter, residual } = split(model)
  const merged = async (name: string) => {
    const folder = temporaryFolder(name)
    await adapter.merge(folder)
    using whole = await loadModel(folder, reference)
    return maxError((await whole.logits({ inputIds: rows.inputIds })).data, want)
  }
  t.notOk((await merged('merged-trained')) <= bound, 'canary: without the frozen part')
  adapter.setResidual(residual)
  t.ok((await merged('merged-both')) <= bound)
})

for (const rsLora of [false, true]) {
  t.test(`saved ${rsLora ? 'with rsLoRA ' : ''}it is one adapter of the summed rank`, async (t) => {
    using model = await loadModel(goldenFolder('llama'), reference)
    const { adapter, residual } = split(model, rsLora)
    adapter.setResidual(residual)
    const folder = temporaryFolder('residual')
    await adapter.save(folder)
    using again = await model.loadAdapter(folder)
    t.equal(again.residual(), null)
    const whole = goldenAdapter(golden)
    for (const [name, { shape, data }] of again.tensors()) {
      t.same(shape, whole.get(name)!.shape)
      t.ok(bytesOf(data).equals(bytesOf(whole.get(name)!.data)), name)
    }
    t.ok(maxError(await logitsOf(model, again), want) <= bound)
    const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'))
    t.match(config, { r: 8, rank_pattern: {}, use_rslora: rsLora })
    t.equal(Object.keys(config.rank_pattern).length, 0, 'all layers have rank 8 again')
    if (!rsLora) t.match(config, { lora_alpha: 16 })
    await again.save(join(folder, 'twice'))
    t.ok(
      readFileSync(join(folder, 'twice', 'adapter_model.safetensors')).equals(
        readFileSync(join(folder, 'adapter_model.safetensors')),
      ),
    )
  })
}

t.test('layers of other ranks and scalings keep their scalings in the saved folder', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  for (const rsLora of [false, true]) {
    using adapter = model.createAdapter({
      rank: 3,
      alpha: 5,
      rsLora,
      targetModules: ['q_proj', 'down_proj'],
      rankPattern: { down_proj: 2 },
      alphaPattern: { 'layers.1.mlp.down_proj': 7 },
    })
    adapter.setVector(adapter.vector().map((_, i) => Math.sin(i) / 8))
    const ranks = adapter.targets.map((_, i) => [2, 0, 5, 1][i % 4]!)
    const length = adapter.residualLayout(ranks).reduce((sum, entry) => sum + entry.length, 0)
    adapter.setResidual({ ranks, values: Float32Array.from({ length }, (_, i) => Math.cos(i) / 8) })
    const folder = temporaryFolder('residual-pattern')
    await adapter.save(folder)
    using again = await model.loadAdapter(folder)
    const got = await logitsOf(model, again)
    const expected = await logitsOf(model, adapter)
    const scale = maxError(expected, new Float32Array(expected.length))
    t.ok(maxError(got, expected) <= 1e-5 * scale)
    adapter.setResidual(null)
    t.notOk(maxError(got, await logitsOf(model, adapter)) <= 1e-3 * scale, 'canary: without the residual')
  }
})

t.test('it is read as it was given; the layout says where each factor lies', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 2, targetModules: ['k_proj', 'o_proj'] })
  t.equal(adapter.residual(), null)
  t.equal(adapter.residualRanks, undefined)
  const ranks = adapter.targets.map((_, i) => i % 3)
  const layout = adapter.residualLayout(ranks)
  const shapes = new Map(adapter.layout.map(({ name, shape }) => [name, shape]))
  let offset = 0
  for (const { name, part, shape, offset: at, length } of layout) {
    const trained = shapes.get(name.replace('residual_', 'lora_'))!
    const rank = ranks[adapter.targets.findIndex((module) => name.includes(`${module}.`))]!
    t.same(shape, part === 'residual_A' ? [rank, trained[1]] : [trained[0], rank])
    t.equal(at, offset)
    t.equal(length, shape[0] * shape[1])
    offset += length
  }
  t.equal(layout.length, 2 * ranks.filter((rank) => rank > 0).length)
  const values = Float32Array.from({ length: offset }, (_, i) => i / offset)
  const given = { ranks, values: values.slice() }
  adapter.setResidual(given)
  given.values.fill(9)
  given.ranks.fill(9)
  t.same(adapter.residual(), { ranks: adapter.targets.map((_, i) => i % 3), values })
  t.same(
    adapter.residualRanks,
    adapter.targets.map((_, i) => i % 3),
  )
  t.equal(adapter.length, adapter.vector().length)
  adapter.setResidual({ ranks: ranks.map(() => 0), values: new Float32Array(0) })
  t.same(adapter.residual(), { ranks: ranks.map(() => 0), values: new Float32Array(0) })
  adapter.setResidual(null)
  t.equal(adapter.residual(), null)
})

t.test('what does not fit is refused and changes nothing', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 2, targetModules: ['k_proj'] })
  const ranks = adapter.targets.map(() => 1)
  const length = adapter.residualLayout(ranks).reduce((sum, entry) => sum + entry.length, 0)
  const values = new Float32Array(length).fill(0.5)
  adapter.setResidual({ ranks, values })
  const nonfinite = values.slice()
  nonfinite[length - 1] = Number.NaN
  const no = (given: unknown, wanted: Refusal) => {
    t.throws(() => adapter.setResidual(given as FrozenResidual), wanted)
    t.same(adapter.residual(), { ranks, values })
  }
  no({ ranks: [1], values }, { code: 'E_SHAPE', message: /1 ranks, expected 2/ })
  no(
    { ranks: [1, -1], values },
    { code: 'E_ARGUMENT', message: /layers\.1\.self_attn\.k_proj' is -1, expected 0 to 4094/ },
  )
  no({ ranks: [1, 1.5], values }, { code: 'E_ARGUMENT' })
  no({ ranks: [4095, 1], values }, { code: 'E_ARGUMENT', message: /layers\.0\.self_attn\.k_proj' is 4095/ })
  no({ ranks: [4094, 1], values }, { code: 'E_SHAPE' })
  no({ ranks: 'many', values }, { code: 'E_ARGUMENT' })
  no({ ranks, values: values.subarray(1) }, { code: 'E_SHAPE', message: /expected a Float32Array of/ })
  no({ ranks, values: [...values] }, { code: 'E_SHAPE' })
  no({ ranks, values: nonfinite }, { code: 'E_NONFINITE', message: /layers\.1\.self_attn\.k_proj\.residual_B\.weight/ })
  no(7, { code: 'E_ARGUMENT' })
  t.throws(() => adapter.residualLayout([1]), { code: 'E_SHAPE' })
  using other = model.createAdapter({ rank: 2, targetModules: ['v_proj'] })
  t.throws(() => other.shareResidual(adapter), { code: 'E_SHAPE', message: /other layers/ })
  t.throws(() => other.shareResidual({} as Adapter), { code: 'E_ARGUMENT' })
  t.equal(other.residual(), null)
})

t.test('clones and sharing: the same factors, each adapter its own trained ones', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const { adapter, residual } = split(model)
  adapter.setResidual(residual)
  using copy = adapter.clone()
  t.same(copy.residual(), adapter.residual())
  t.same(bytesOf(await logitsOf(model, copy)), bytesOf(await logitsOf(model, adapter)))
  adapter.setResidual(null)
  t.same(copy.residual(), residual, 'the copy keeps its own')
  using third = model.createAdapter({ rank: 3 })
  third.shareResidual(copy)
  t.same(third.residual(), residual)
  third.shareResidual(adapter)
  t.equal(third.residual(), null)
})

t.test('training moves the trained factors only; a run goes on beside the same residual and no other', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { ...reference, quantization: 'nf4' })
  const data = await tokenRows(8, 263)
  const fresh = () => {
    const { adapter, residual } = split(model)
    adapter.setResidual(residual)
    return adapter
  }
  const options = { batchSize: 2, learningRate: 1e-3, schedule: 'constant', memoryBudget: '1 GiB' } as const
  using whole = fresh()
  const before = await evaluate(whole, data)
  await train(whole, data, { ...options, maxSteps: 6 })
  t.ok((await evaluate(whole, data)).loss < before.loss)
  t.same(whole.residual(), split(model).residual)

  const outputDir = join(temporaryFolder('residual-run'), 'run')
  await train(fresh(), data, { ...options, maxSteps: 3, outputDir })
  using rest = fresh()
  rest.setResidual(null)
  const goOn = { ...options, maxSteps: 6, resumeFrom: outputDir }
  await t.rejects(train(rest, data, goOn), { code: 'E_CHECKPOINT', message: /residual = / })
  const { residual } = split(model)
  rest.setResidual({ ...residual, values: residual.values.map((value) => -value) })
  await t.rejects(train(rest, data, goOn), { code: 'E_CHECKPOINT', message: /residual = / })
  rest.setResidual(residual)
  await train(rest, data, goOn)
  t.ok(sameBits(rest, whole))
  using saved = await model.loadAdapter(join(outputDir, 'adapter'))
  const got = await logitsOf(model, saved)
  const expected = await logitsOf(model, rest)
  t.ok(maxError(got, expected) <= 1e-5 * maxError(expected, new Float32Array(expected.length)))
})

t.test('the memory plan of a run counts it', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const { adapter, residual } = split(model)
  const needed = async () => {
    const error: unknown = await train(adapter, await tokenRows(8, 263), { maxSteps: 1, memoryBudget: 1 }).then(
      () => undefined,
      (error) => error,
    )
    t.match(error, { code: 'E_MEMORY' })
    return (error as { details: { needed: number } }).details.needed
  }
  const without = await needed()
  adapter.setResidual(residual)
  t.ok((await needed()) >= without + residual.values.byteLength)
})

t.test('a generation under way ends with E_BUSY when the residual changes', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const { adapter, residual } = split(model)
  for (const change of [() => adapter.setResidual(residual), () => adapter.setResidual(null)]) {
    const generation = model.generateTokens([5, 6, 7], { adapter, maxTokens: 32, endTokens: [] })
    await generation.next()
    change()
    const rest = async () => {
      for await (const _ of generation);
    }
    await t.rejects(rest(), { code: 'E_BUSY' })
  }
})
