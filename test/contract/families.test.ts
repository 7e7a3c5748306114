/** Families beyond the first: merging, saving, quantised bases and PEFT's folders, on the golden checkpoints. */
import { join } from 'node:path'
import t from 'tap'
import { type Adapter, loadModel, type Model, quantizeModel } from '../../src/index.js'
import {
  describedFamilies,
  goldenAdapter,
  goldenFolder,
  goldenRoot,
  maxError,
  rowsOf,
} from '../support/golden-model.js'
import { GoldenFile } from '../support/safetensors.js'
import { temporaryFolder } from '../support/train.js'

const lora = { rank: 8, alpha: 16, targetModules: 'all-linear' } as const
const plain = { quantization: 'none', compute: 'f32', threads: 2 } as const

async function logits(model: Model, inputIds: number[][], adapter?: Adapter): Promise<Float32Array> {
  return (await model.logits({ inputIds }, adapter && { adapter })).data
}
const bytes = (x: Float32Array) => Buffer.from(x.buffer, x.byteOffset, x.byteLength)

for (const family of describedFamilies) {
  const golden = new GoldenFile(join(goldenRoot, family, 'golden.safetensors'))
  const { inputIds } = rowsOf(golden)

  t.test(`${family}: merged, saved and loaded again`, async (t) => {
    using model = await loadModel(goldenFolder(family), plain)
    using adapter = model.createAdapter(lora)
    adapter.load(goldenAdapter(golden))
    const want = await logits(model, inputIds, adapter)
    // Rounding W + s·BA to float32 once instead of adding products: as much as PyTorch's own float32 is off.
    const allowed = 10 * golden.bound('f32_error.logits')
    const merged = join(temporaryFolder('merged'), 'model')
    await adapter.merge(merged)
    using whole = await loadModel(merged, plain)
    const error = maxError(await logits(whole, inputIds), want)
    t.ok(error <= allowed, `merged: ${error}`)
    t.notOk(maxError(await logits(model, inputIds), want) <= allowed, 'canary: without the adapter')
    const saved = join(temporaryFolder('adapter'), 'adapter')
    await adapter.save(saved)
    using again = await model.loadAdapter(saved)
    t.ok(bytes(again.vector()).equals(bytes(adapter.vector())))
    t.ok(bytes(await logits(model, inputIds, again)).equals(bytes(want)), 'the same bits')
  })

  t.test(`${family}: a base that was quantised to disk has the bits of one quantised while loading`, async (t) => {
    const folder = join(temporaryFolder('quantised'), 'model')
    await quantizeModel(goldenFolder(family), folder, { quantization: 'nf4' })
    using stored = await loadModel(folder, { threads: 2, compute: 'bf16' })
    using loaded = await loadModel(goldenFolder(family), { quantization: 'nf4', threads: 2, compute: 'bf16' })
    t.ok(bytes(await logits(stored, inputIds)).equals(bytes(await logits(loaded, inputIds))))
  })
}

t.test('one adapter on a fused projection: the folder that PEFT wrote', async (t) => {
  const golden = new GoldenFile(join(goldenRoot, 'phi3', 'golden.safetensors'))
  using model = await loadModel(goldenFolder('phi3'), plain)
  using theirs = await model.loadAdapter(join(goldenRoot, 'phi3', 'adapter'))
  using ours = model.createAdapter(lora)
  ours.load(goldenAdapter(golden))
  t.ok(bytes(theirs.vector()).equals(bytes(ours.vector())))
  t.same(
    ours.layout.slice(0, 2).map(({ name, shape }) => [name, [...shape]]),
    [
      ['base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight', [8, 128]],
      ['base_model.model.model.layers.0.self_attn.qkv_proj.lora_B.weight', [256, 8]],
    ],
  )
})

t.test('LongRoPE: a generation that passes the original context goes on as one that begins beyond it', async (t) => {
  using model = await loadModel(goldenFolder('phi3-longrope'), plain)
  const greedy = async (prompt: number[], maxTokens: number) => {
    const ids: number[] = []
    for await (const id of model.generateTokens(prompt, { maxTokens, endTokens: [] })) ids.push(id)
    return ids
  }
  const prompt = Array.from({ length: 28 }, (_, i) => (i * 37) % 250)
  const all = await greedy(prompt, 12) // 32 is the original context
  for (const made of [5, 6, 9]) {
    t.same(
      await greedy([...prompt, ...all.slice(0, made)], 12 - made),
      all.slice(made),
      `${made} of them in the prompt`,
    )
  }
})
