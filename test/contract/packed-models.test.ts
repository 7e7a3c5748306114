/** Folders that GPTQ, AWQ and FP8 have packed: the model of the numbers that they stand for, bit for bit, in every format. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModel, quantizeModel, readModelConfig } from '../../src/index.js'
import { packedFolders } from '../support/packed-weights.js'

const inputIds = [[5, 17, 3, 99, 42, 8, 1, 64]]

/** Loss and gradient of a fresh adapter. */
async function judged(path: string, quantization: 'none' | 'bf16' | 'nf4') {
  using model = await loadModel(path, { quantization, threads: 1 })
  const { data } = await model.logits({ inputIds })
  return { logits: data, unused: model.unusedTensors }
}

for (const format of ['gptq', 'gptq_v2', 'awq', 'fp8'] as const) {
  t.test(format, async (t) => {
    const { packed, plain } = packedFolders(format)
    for (const quantization of ['none', 'bf16', 'nf4'] as const) {
      const got = await judged(packed.path, quantization)
      const want = await judged(plain.path, quantization)
      t.ok(want.logits.every(Number.isFinite))
      t.same(got, want, quantization)
    }
    const { storedQuantization } = await readModelConfig(packed.path)
    t.match(storedQuantization, { format })

    const merged = join(t.testdir(), 'merged')
    using model = await loadModel(packed.path, { threads: 1 })
    using adapter = model.createAdapter({ rank: 2 })
    await adapter.merge(merged)
    t.same(await judged(merged, 'bf16'), await judged(plain.path, 'bf16'), 'a merged copy is bf16 without the packing')
    await t.rejects(quantizeModel(packed.path, join(t.testdir(), 'again')), {
      code: 'E_UNSUPPORTED',
      message: new RegExp(`already quantised \\(${format}\\)`),
    })
  })
}

/** The file of a folder with an adapter of ones merged in. */
async function asGguf(path: string, file: string, type: 'f32' | 'q4_0'): Promise<Buffer> {
  using model = await loadModel(path, { threads: 1, baseModelName: 'packed' })
  using adapter = model.createAdapter({ rank: 2, targetModules: 'all-linear' })
  adapter.setVector(adapter.vector().fill(1 / 64))
  await adapter.merge(file, { format: 'gguf', type })
  return readFileSync(file)
}

t.test('a GGUF file of a packed base is that of its numbers, byte for byte', async (t) => {
  const out = t.testdir()
  for (const format of ['gptq', 'gptq_v2', 'awq', 'fp8'] as const) {
    const { packed, plain } = packedFolders(format)
    for (const type of ['f32', 'q4_0'] as const) {
      const got = await asGguf(packed.path, join(out, `${format}-${type}.gguf`), type)
      const want = await asGguf(plain.path, join(out, `${format}-${type}-plain.gguf`), type)
      t.ok(got.equals(want), `${format} ${type}`)
      if (format !== 'gptq') continue
      packed.config({ quantization_config: { quant_method: 'gptq', bits: 4, checkpoint_format: 'gptq_v2' } })
      const wrong = await asGguf(packed.path, join(out, `wrong-${type}.gguf`), type)
      t.notOk(wrong.equals(want), `canary: zero points of the other format, ${type}`)
      packed.config({ quantization_config: { quant_method: 'gptq', bits: 4 } })
    }
  }
})

t.test('canary: the other format of GPTQ is another model', async (t) => {
  const { packed, plain } = packedFolders('gptq')
  packed.config({ quantization_config: { quant_method: 'gptq', bits: 4, checkpoint_format: 'gptq_v2' } })
  t.notSame(await judged(packed.path, 'none'), await judged(plain.path, 'none'))
})

t.test('what is not read is refused by field, with the cure', async (t) => {
  const { packed } = packedFolders('awq')
  const refused = async (quantization_config: object, code: string, message: RegExp) => {
    packed.config({ quantization_config })
    await t.rejects(loadModel(packed.path), { code, message })
  }
  await refused(
    { quant_method: 'gptq', bits: 8 },
    'E_UNSUPPORTED',
    /weights of 8 bits by 'gptq'.*unquantised checkpoint/,
  )
  await refused({ quant_method: 'gptq' }, 'E_CONFIG', /quantization_config\.bits is nothing/)
  await refused({ quant_method: 'gptq', bits: 4, checkpoint_format: 'marlin' }, 'E_UNSUPPORTED', /'marlin'/)
  await refused({ quant_method: 'gptq', bits: 4, dynamic: { '-:.*': {} } }, 'E_UNSUPPORTED', /dynamic/)
  await refused({ quant_method: 'awq', w_bit: 4, version: 'gemv' }, 'E_UNSUPPORTED', /'gemv'/)
  await refused({ quant_method: 'fp8', fmt: 'e5m2' }, 'E_UNSUPPORTED', /'e5m2'/)
  await refused({ quant_method: 'fp8', weight_block_size: [128] }, 'E_CONFIG', /weight_block_size is .*, expected two/)
  await refused({ quant_method: 'gptq', bits: 4 }, 'E_SHAPE', /is \[16, 1024\], expected \[128, 128\]/)
  await refused({ quant_method: 'fp8' }, 'E_FORMAT', /packed by FP8, and none is/)
  packed.config({})
  await t.rejects(loadModel(packed.path), {
    code: 'E_MISSING',
    message: /config\.json says nothing \(quantization_config\)/,
  })
})
