/** The engine through the public API against PyTorch, transformers, PEFT and bitsandbytes: every element of logits and gradients. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Adapter } from '../../src/model/adapter.js'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import {
  describedFamilies,
  families,
  goldenAdapter,
  goldenFolder,
  goldenLogits,
  goldenRoot,
  maxError,
  relativeError,
  rowsOf,
} from '../support/golden-model.js'
import { GoldenFile } from '../support/safetensors.js'

const lora = { rank: 8, alpha: 16, targetModules: 'all-linear' } as const

function goldenAdapterOf(model: Model, golden: GoldenFile): Adapter {
  const adapter = model.createAdapter(lora)
  adapter.load(goldenAdapter(golden))
  return adapter
}

/** Logits, loss and gradients within ten times PyTorch's own float32 error (`bounds`: whose error counts). */
async function judgeF32(t: Test, folder: string, golden: GoldenFile, bounds: GoldenFile) {
  using model = await loadModel(folder, { quantization: 'none', compute: 'f32', threads: 2 })
  using adapter = goldenAdapterOf(model, golden)
  const rows = rowsOf(golden)
  const logits = await model.logits({ inputIds: rows.inputIds }, { adapter })
  const error = maxError(
    logits.data,
    goldenLogits(
      golden,
      rows.inputIds.map((row) => row.length),
    ),
  )
  t.ok(error <= 10 * bounds.bound('f32_error.logits'), `logits: ${error}`)
  const { loss, gradients } = await adapter.gradients(rows)
  const want = golden.get('loss').values[0]!
  t.ok(Math.abs(loss - want) <= Math.max(10 * bounds.bound('f32_error.loss'), 2e-6 * want), `loss: ${loss - want}`)
  let worst = 0
  for (const [name, gradient] of gradients) {
    const difference = relativeError(gradient, golden.get(`grad.${name}`).values)
    if (!(difference <= worst)) worst = difference
  }
  t.equal(gradients.size, adapter.layout.length)
  t.ok(worst <= 10 * bounds.bound('f32_error.grad_relative'), `gradients: ${worst}`)
}

/** PyTorch gives all rows of a batch the frequencies of the longest: test_model_golden judges it. */
const longrope = 'phi3-longrope'

for (const family of [...families, ...describedFamilies.filter((name) => name !== longrope)]) {
  const golden = new GoldenFile(join(goldenRoot, family, 'golden.safetensors'))

  for (const spelling of [5, 4] as const) {
    t.test(`${family}, config of transformers ${spelling}: logits, loss, gradients in f32`, async (t) => {
      await judgeF32(t, goldenFolder(family, spelling), golden, golden)
    })
  }

  t.test(`${family}: bf16 stays as near as PyTorch's bf16`, async (t) => {
    using model = await loadModel(goldenFolder(family), { quantization: 'bf16', compute: 'bf16', threads: 2 })
    using adapter = goldenAdapterOf(model, golden)
    const rows = rowsOf(golden)
    const logits = await model.logits({ inputIds: rows.inputIds }, { adapter })
    const error = relativeError(
      logits.data,
      goldenLogits(
        golden,
        rows.inputIds.map((row) => row.length),
      ),
    )
    t.ok(error <= 1.5 * golden.bound('bf16_error.logits_relative'), `logits: ${error}`)
    const { loss, gradients } = await adapter.gradients(rows)
    // Where PyTorch's errors cancel, its loss is right by luck: a thousandth, half of what rounding one logit costs, is allowed in any case.
    const want = golden.get('loss').values[0]!
    const lossError = Math.abs(loss - want)
    t.ok(lossError <= Math.max(1.5 * golden.bound('bf16_error.loss'), 1e-3 * want), `loss: ${lossError}`)
    for (const [name, gradient] of gradients) {
      const difference = relativeError(gradient, golden.get(`grad.${name}`).values)
      t.ok(difference <= 1.5 * golden.bound('bf16_error.grad_relative'), `${name}: ${difference}`)
    }
  })

  t.test(`${family}: the greedy continuation`, async (t) => {
    using model = await loadModel(goldenFolder(family), { quantization: 'none', compute: 'f32', threads: 2 })
    using adapter = goldenAdapterOf(model, golden)
    const prompt = Array.from(golden.get('generate.prompt').values)
    const want = Array.from(golden.get('generate.greedy').values).slice(prompt.length)
    const got: number[] = []
    for await (const id of model.generateTokens(prompt, { adapter, maxTokens: want.length, endTokens: [] }))
      got.push(id)
    t.same(got, want)
  })

  t.test(`${family}: packed rows give the bits of separate rows, for any number of threads`, async (t) => {
    const rows = rowsOf(golden)
    const first = (families as readonly string[]).includes(family)
    for (const compute of ['f32', 'bf16'] as const) {
      let reference: Float32Array | undefined
      let gradient: Buffer | undefined
      for (const threads of first ? [1, 2, 3] : [1, 3]) {
        using model = await loadModel(goldenFolder(family), { quantization: 'nf4', compute, threads })
        using adapter = goldenAdapterOf(model, golden)
        const packed = (await model.logits({ inputIds: rows.inputIds }, { adapter })).data
        reference ??= packed
        t.ok(Buffer.from(packed.buffer).equals(Buffer.from(reference.buffer)), `${compute}, ${threads} threads`)
        const parts: Buffer[] = []
        for (const row of rows.inputIds) {
          parts.push(Buffer.from((await model.logits({ inputIds: [row] }, { adapter })).data.buffer))
        }
        t.ok(Buffer.concat(parts).equals(Buffer.from(packed.buffer)), `${compute}: separate rows`)
        const { gradients } = await adapter.gradients(rows)
        const bytes = Buffer.concat(
          [...gradients.values()].map((g) => Buffer.from(g.buffer, g.byteOffset, g.byteLength)),
        )
        gradient ??= bytes
        t.ok(gradient.equals(bytes), `${compute}, ${threads} threads: gradients`)
      }
    }
  })
}

for (const [folder, family] of [
  ['llama-bnb-nf4', 'llama'],
  ['llama-bnb-int8', 'llama'],
  ['qwen2-bnb-nf4', 'qwen2'],
  ['qwen2-bnb-int8', 'qwen2'],
] as const) {
  t.test(`${folder}: a checkpoint that bitsandbytes quantised`, async (t) => {
    const golden = new GoldenFile(join(goldenRoot, folder, 'golden.safetensors'))
    await judgeF32(t, join(goldenRoot, folder), golden, new GoldenFile(join(goldenRoot, family, 'golden.safetensors')))
  })
}

t.test('canary: an adapter with one wrong tensor is seen', async (t) => {
  const golden = new GoldenFile(join(goldenRoot, 'llama', 'golden.safetensors'))
  using model = await loadModel(goldenFolder('llama'), { quantization: 'none', compute: 'f32' })
  using adapter = model.createAdapter(lora)
  const tensors = goldenAdapter(golden)
  const broken = tensors.get('base_model.model.model.layers.1.mlp.up_proj.lora_B.weight')!
  broken.data[0]! += 0.05
  adapter.load(tensors)
  const rows = rowsOf(golden)
  const logits = await model.logits({ inputIds: rows.inputIds }, { adapter })
  const error = maxError(
    logits.data,
    goldenLogits(
      golden,
      rows.inputIds.map((row) => row.length),
    ),
  )
  t.notOk(error <= 10 * golden.bound('f32_error.logits'))
})
