/** GPT-2's linear layers, whose files hold them as [in, out]: read and written so, whatever the names, with PEFT's `fan_in_fan_out`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Adapter, loadModel, type Model, quantizeModel } from '../../src/index.js'
import { goldenAdapter, goldenFolder, goldenRoot, maxError, rowsOf } from '../support/golden-model.js'
import { GoldenFile } from '../support/safetensors.js'
import { temporaryFolder } from '../support/train.js'
import { assembleTensors, readTensors, variantFolder } from '../support/variant-folder.js'

const plain = { quantization: 'none', compute: 'f32', threads: 2 } as const
const lora = { rank: 8, alpha: 16, targetModules: 'all-linear' } as const
const golden = new GoldenFile(join(goldenRoot, 'gpt2', 'golden.safetensors'))
const { inputIds } = rowsOf(golden)
const bytes = (x: Float32Array) => Buffer.from(x.buffer, x.byteOffset, x.byteLength)
const untouched = { name: '', family: 'gpt2', set: {}, unset: [], tensors: [] }

async function logits(model: Model, adapter?: Adapter): Promise<Float32Array> {
  return (await model.logits({ inputIds }, adapter && { adapter })).data
}

/** A golden folder with other tensors. */
function rewritten(change: (tensors: ReturnType<typeof readTensors>) => ReturnType<typeof readTensors>): string {
  const folder = variantFolder(untouched)
  const file = join(folder, 'model.safetensors')
  writeFileSync(file, assembleTensors(change(readTensors(file))))
  return folder
}

t.test('names without `transformer.`, and the masks that old checkpoints keep', async (t) => {
  const folder = rewritten((tensors) => {
    const bare = new Map([...tensors].map(([name, tensor]) => [name.replace('transformer.', ''), tensor]))
    for (const layer of [0, 1]) {
      bare.set(`h.${layer}.attn.bias`, { dtype: 'U8', shape: [1, 1, 4, 4], data: Buffer.alloc(16) })
      bare.set(`h.${layer}.attn.masked_bias`, { dtype: 'F32', shape: [], data: Buffer.alloc(4) })
    }
    return bare
  })
  using model = await loadModel(folder, plain)
  using whole = await loadModel(goldenFolder('gpt2'), plain)
  t.same(model.unusedTensors, [])
  t.ok(bytes(await logits(model)).equals(bytes(await logits(whole))))
})

t.test('merged weights lie as the file has them; what no adapter sits on is copied bit by bit', async (t) => {
  using model = await loadModel(goldenFolder('gpt2'), plain)
  using adapter = model.createAdapter({ rank: 1, alpha: 1, targetModules: ['attn.c_proj'] })
  adapter.setVector(adapter.vector().map((_, i) => ((i * 37) % 11) - 5))
  const merged = join(temporaryFolder('merged'), 'model')
  await adapter.merge(merged)
  const before = readTensors(join(goldenFolder('gpt2'), 'model.safetensors'))
  const after = readTensors(join(merged, 'model.safetensors'))
  t.same([...after.keys()].sort(), [...before.keys()].sort())
  const name = 'transformer.h.1.attn.c_proj.weight'
  for (const [other, tensor] of before) {
    t.same(after.get(other)!.shape, tensor.shape, other)
    if (!other.includes('attn.c_proj.weight')) t.ok(after.get(other)!.data.equals(tensor.data), other)
  }
  const factors = adapter.tensors()
  const A = factors.get('base_model.model.transformer.h.1.attn.c_proj.lora_A.weight')!.data
  const B = factors.get('base_model.model.transformer.h.1.attn.c_proj.lora_B.weight')!.data
  let worst = 0
  for (let k = 0; k < 128; k++) {
    for (let n = 0; n < 128; n++) {
      const at = 4 * (k * 128 + n)
      const want = before.get(name)!.data.readFloatLE(at) + B[n]! * A[k]!
      const error = Math.abs(after.get(name)!.data.readFloatLE(at) - want)
      if (!(error <= worst)) worst = error
    }
  }
  t.ok(worst <= 2e-6, `${worst}`) // half a unit of numbers up to 25
})

t.test(
  'of a base that bitsandbytes quantised, whose codes are [out, in], a merged folder is [in, out] again',
  async (t) => {
    const stored = join(temporaryFolder('quantised'), 'model')
    await quantizeModel(goldenFolder('gpt2'), stored, { quantization: 'nf4' })
    using model = await loadModel(stored, plain)
    using adapter = model.createAdapter(lora)
    const merged = join(temporaryFolder('merged'), 'model')
    await adapter.merge(merged) // lora_B is zero: the base itself, in bf16
    const { shape, dtype } = readTensors(join(merged, 'model.safetensors')).get('transformer.h.0.mlp.c_fc.weight')!
    t.same([shape, dtype], [[128, 512], 'BF16'])
    using whole = await loadModel(merged, plain)
    const want = await logits(model)
    const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    const error = maxError(await logits(whole), want)
    t.ok(error <= 0.02 * largest, `${error} of ${largest}`) // eight layers rounded to bf16
  },
)

t.test('adapters: the folder of PEFT, and one of ours with `fan_in_fan_out`', async (t) => {
  using model = await loadModel(goldenFolder('gpt2'), plain)
  using theirs = await model.loadAdapter(join(goldenRoot, 'gpt2', 'adapter'))
  using ours = model.createAdapter(lora)
  ours.load(goldenAdapter(golden))
  t.ok(bytes(theirs.vector()).equals(bytes(ours.vector())))
  t.same(
    ours.layout.slice(0, 2).map(({ name, shape }) => [name, [...shape]]),
    [
      ['base_model.model.transformer.h.0.attn.c_attn.lora_A.weight', [8, 128]],
      ['base_model.model.transformer.h.0.attn.c_attn.lora_B.weight', [384, 8]],
    ],
  )
  const saved = join(temporaryFolder('adapter'), 'adapter')
  await ours.save(saved)
  t.equal(JSON.parse(readFileSync(join(saved, 'adapter_config.json'), 'utf8')).fan_in_fan_out, true)
  using llama = await loadModel(goldenFolder('llama'), plain)
  await llama.createAdapter({ rank: 1 }).save(join(saved, 'llama'))
  t.equal(JSON.parse(readFileSync(join(saved, 'llama', 'adapter_config.json'), 'utf8')).fan_in_fan_out, false)
})

t.test('what is refused, by name', async (t) => {
  const square = rewritten((tensors) => {
    const name = 'transformer.h.0.attn.c_attn.weight'
    return tensors.set(name, { ...tensors.get(name)!, shape: [384, 128] })
  })
  await t.rejects(loadModel(square, plain), { code: 'E_SHAPE', message: /h\.0\.attn\.c_attn\.weight is \[128, 384\]/ })
  for (const field of ['add_cross_attention', 'scale_attn_by_inverse_layer_idx']) {
    const folder = variantFolder({ ...untouched, set: { [field]: true } })
    await t.rejects(loadModel(folder, plain), { code: 'E_CONFIG', message: new RegExp(field) })
  }
})
