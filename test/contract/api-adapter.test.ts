/** PEFT folders in and out, adapters as vectors and maps, merging. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import { native } from '../../src/native/load.js'
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
import { bytesOf, sameBits, temporaryFolder } from '../support/train.js'

const reference = { quantization: 'none', compute: 'f32', threads: 2 } as const

/** Rows of a PEFT golden: it holds no mask, rows are those of the family's. */
function peftRows(family: string) {
  return rowsOf(new GoldenFile(join(goldenRoot, family, 'golden.safetensors')))
}

for (const family of ['llama', 'qwen2'] as const) {
  const bounds = new GoldenFile(join(goldenRoot, family, 'golden.safetensors'))
  for (const method of ['rslora', 'pattern'] as const) {
    t.test(`${family}: PEFT's ${method} folder gives PEFT's logits, loss and gradients`, async (t) => {
      const folder = join(goldenRoot, family, 'peft', method)
      const golden = new GoldenFile(join(folder, 'golden.safetensors'))
      using model = await loadModel(goldenFolder(family), reference)
      using adapter = await model.loadAdapter(folder)
      const rows = peftRows(family)
      const logits = await model.logits({ inputIds: rows.inputIds }, { adapter })
      const want = goldenLogits(
        golden,
        rows.inputIds.map(({ length }) => length),
      )
      // The float32 error of the method itself is not recorded; its logits are of the plain adapter's size.
      const scale = 4 * maxError(want, new Float32Array(want.length))
      t.ok(maxError(logits.data, want) <= Math.max(10 * bounds.bound('f32_error.logits'), 1e-6 * scale))
      const { loss, gradients } = await adapter.gradients(rows)
      t.ok(Math.abs(loss - golden.get('loss').values[0]!) <= 2e-6 * loss)
      let worst = 0
      for (const [name, gradient] of gradients) {
        const error = relativeError(gradient, golden.get(`grad.${name}`).values)
        if (!(error <= worst)) worst = error
      }
      t.ok(worst <= 10 * bounds.bound('f32_error.grad_relative'), `${worst}`)
      using again = await model.loadAdapter(join(goldenRoot, family, 'adapter'))
      const plain = await model.logits({ inputIds: rows.inputIds }, { adapter: again })
      t.notOk(maxError(plain.data, want) <= 10 * bounds.bound('f32_error.logits'), 'canary: the plain adapter')
    })
  }

  for (const method of [
    'dora',
    'lora-bias',
    'ia3',
    'prompt',
    'prefix',
    'prefix-projection',
    'p-tuning-mlp',
    'p-tuning-lstm',
  ]) {
    t.test(`${family}: PEFT's ${method} folder is refused`, async (t) => {
      using model = await loadModel(goldenFolder(family), reference)
      await t.rejects(model.loadAdapter(join(goldenRoot, family, 'peft', method)), { code: 'E_UNSUPPORTED' })
    })
  }
}

t.test('a PEFT folder survives a round trip', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const folder = temporaryFolder('peft')
  for (const source of ['adapter', 'peft/rslora', 'peft/pattern']) {
    using adapter = await model.loadAdapter(join(goldenRoot, 'llama', source))
    await adapter.save(join(folder, source))
    using again = await model.loadAdapter(join(folder, source))
    t.ok(sameBits(adapter, again))
    t.same(again.config, adapter.config)
    const theirs = new GoldenFile(join(goldenRoot, 'llama', source, 'adapter_model.safetensors'))
    const ours = new GoldenFile(join(folder, source, 'adapter_model.safetensors'))
    t.same(ours.names().sort(), theirs.names().sort())
    for (const name of theirs.names()) t.same(ours.get(name), theirs.get(name))
    t.equal(ours.metadata.format, 'pt')
  }
  rmSync(folder, { recursive: true })
})

t.test('damaged adapter folders are refused and nothing is loaded', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const source = join(goldenRoot, 'llama', 'adapter')
  const folder = temporaryFolder('damaged')
  const file = new GoldenFile(join(source, 'adapter_model.safetensors'))
  const all = file.names().map((name) => {
    const { shape, values } = file.get(name)
    return { name, shape, data: values as Float32Array }
  })
  const refused = async (tensors: typeof all, expected: Refusal) => {
    native().writeSafetensors(join(folder, 'adapter_model.safetensors'), tensors, {})
    await t.rejects(model.loadAdapter(folder), expected)
  }
  cpSync(source, folder, { recursive: true })
  const { name } = all[3]!
  await refused(all.slice(0, 3).concat(all.slice(4)), { code: 'E_MISSING', message: new RegExp(name) })
  await refused(
    [
      ...all,
      { name: 'base_model.model.model.layers.9.mlp.up_proj.lora_A.weight', shape: [1, 1], data: new Float32Array(1) },
    ],
    {
      code: 'E_SHAPE',
      message: /layers\.9/,
    },
  )
  await refused(
    [
      ...all,
      {
        name: `${name.replace('lora_A', 'lora_magnitude_vector').replace('.weight', '')}`,
        shape: [1],
        data: new Float32Array(1),
      },
    ],
    {
      code: 'E_UNSUPPORTED',
    },
  )
  const { shape, data } = all[3]!
  await refused(all.with(3, { name, shape: [shape[1]!, shape[0]!], data }), {
    code: 'E_SHAPE',
    message: new RegExp(name),
  })
  const broken = Float32Array.from(data)
  broken[5] = Number.NaN
  await refused(all.with(3, { name, shape, data: broken }), { code: 'E_NONFINITE', message: new RegExp(name) })
  writeFileSync(
    join(folder, 'adapter_model.safetensors'),
    readFileSync(join(source, 'adapter_model.safetensors')).subarray(0, 500),
  )
  await t.rejects(model.loadAdapter(folder), { code: 'E_FORMAT' })
  rmSync(join(folder, 'adapter_model.safetensors'))
  await t.rejects(model.loadAdapter(folder), { code: /E_MISSING|E_IO/ })
  await t.rejects(model.loadAdapter(join(folder, 'absent')), { code: 'E_MISSING' })
  rmSync(folder, { recursive: true })
})

t.test('tensors, load, clone, vector', async (t) => {
  using model = await loadModel(goldenFolder('qwen2'), reference)
  using adapter = model.createAdapter({ rank: 4, targetModules: ['q_proj', 'layers.1.mlp.down_proj'], seed: 7 })
  t.same(adapter.targets, [
    'model.layers.0.self_attn.q_proj',
    'model.layers.1.self_attn.q_proj',
    'model.layers.1.mlp.down_proj',
  ])
  const tensors = adapter.tensors()
  t.equal(tensors.size, 6)
  const A = tensors.get('base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight')!
  t.same(A.shape, [4, 128])
  const bound = 1 / Math.sqrt(128)
  t.ok(A.data.every((value) => Math.abs(value) <= bound) && A.data.some((value) => Math.abs(value) > bound / 2))
  t.ok(
    tensors.get('base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight')!.data.every((value) => value === 0),
  )
  t.same(
    adapter.layout.map(({ name, part }) => name.endsWith(`.${part}.weight`) && part),
    ['lora_A', 'lora_B', 'lora_A', 'lora_B', 'lora_A', 'lora_B'],
  )
  using same = model.createAdapter({ rank: 4, targetModules: ['q_proj', 'layers.1.mlp.down_proj'], seed: 7 })
  using other = model.createAdapter({ rank: 4, targetModules: ['q_proj', 'layers.1.mlp.down_proj'], seed: 8 })
  t.ok(sameBits(adapter, same))
  t.notOk(sameBits(adapter, other), 'canary')
  const copy = other.clone()
  other.load(tensors)
  t.ok(sameBits(adapter, other))
  t.notOk(sameBits(copy, other), 'a clone is independent')
  copy.dispose()
  const before = bytesOf(adapter.vector())
  tensors.get('base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight')!.data[0] = Number.POSITIVE_INFINITY
  t.throws(() => adapter.load(tensors), { code: 'E_NONFINITE', message: /q_proj\.lora_B/ })
  t.throws(() => adapter.load(new Map()), { code: 'E_MISSING' })
  t.throws(() => adapter.setVector(new Float32Array(3)), { code: 'E_SHAPE' })
  t.ok(before.equals(bytesOf(adapter.vector())), 'refused maps change nothing')
})

t.test('merging: the merged folder has the logits of base and adapter', async (t) => {
  for (const family of ['llama', 'qwen3', 'llama-bnb-nf4'] as const) {
    const base = family.startsWith('llama') ? 'llama' : family
    const golden = new GoldenFile(join(goldenRoot, base, 'golden.safetensors'))
    const rows = rowsOf(golden)
    const folder = temporaryFolder('merged')
    using model = await loadModel(goldenFolder(family), reference)
    using adapter = await model.loadAdapter(join(goldenRoot, base, 'adapter'))
    adapter.load(goldenAdapter(golden))
    await adapter.merge(folder)
    using merged = await loadModel(folder, reference)
    t.equal(merged.config.storedQuantization, undefined)
    t.equal(merged.config.storedType, family === base ? 'float32' : 'bfloat16')
    const want = await model.logits({ inputIds: rows.inputIds }, { adapter })
    const got = await merged.logits({ inputIds: rows.inputIds })
    // float32 is stored as it is, and sums have another order; bf16 rounds the weights, of all that a run in bf16 rounds.
    const near = (logits: { data: Float32Array }) =>
      family === base
        ? maxError(got.data, logits.data) <= 10 * golden.bound('f32_error.logits')
        : relativeError(got.data, logits.data) <= 1.5 * golden.bound('bf16_error.logits_relative')
    t.ok(near(want), `${family}: ${maxError(got.data, want.data)}, ${relativeError(got.data, want.data)}`)
    t.notOk(near(await model.logits({ inputIds: rows.inputIds })), 'canary: not the base alone')
    await t.rejects(adapter.merge(model.path), { code: 'E_ARGUMENT' })
    rmSync(folder, { recursive: true })
  }
})

t.test('a folder that cannot be written: a coded error', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  using adapter = model.createAdapter({ rank: 4 })
  const folder = temporaryFolder('blocked')
  mkdirSync(join(folder, 'adapter_model.safetensors'))
  await t.rejects(adapter.save(folder), { code: 'E_IO' })
  writeFileSync(join(folder, 'file'), 'x')
  await t.rejects(adapter.save(join(folder, 'file', 'below')), { code: 'E_IO' })
  await t.rejects(adapter.merge(join(folder, 'file', 'below')), { code: 'E_IO' })
  rmSync(folder, { recursive: true })
})
