/** Models out of GGUF files: logits against transformers' over the dequantised weights, what loads and what is refused, training. */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { estimate, loadModel, quantizeModel, readModelConfig } from '../../src/index.js'
import { changed, ggufFile, ggufRoot, keyBytes, split } from '../support/gguf.js'
import { maxError } from '../support/golden-model.js'
import { GoldenFile } from '../support/safetensors.js'

const golden = new GoldenFile(join(ggufRoot, 'logits.safetensors'))
const files = JSON.parse(readFileSync(join(ggufRoot, 'files.json'), 'utf8')) as Record<string, Record<string, string>>

const rowOf = (name: string) => [...golden.get(`${name}.gguf.input_ids`).values] as number[]
const wanted = (name: string) => golden.get(`${name}.gguf.logits`).values as Float32Array
/** Ten times PyTorch's own float32 error. */
const bound = (name: string) => 10 * Number(files[`${name}.gguf`]!['f32_error.logits'])

async function logitsOf(path: string, name: string): Promise<Float32Array> {
  using model = await loadModel(path, { threads: 1 })
  return (await model.logits({ inputIds: [rowOf(name)] })).data
}

const models = [
  'llama.q4_0',
  'llama.q4_1',
  'llama.q5_1',
  'llama3-rope.q4_0',
  'llama-linear.q4_0',
  'llama-k.q2_k',
  'llama-k.q3_k',
  'llama-k.q4_k_m',
  'qwen2.q8_0',
  'qwen3.q4_0',
  'llama-yarn.q4_0',
  'gemma2.q4_0',
  'phi3.q4_0',
  'olmo2.q4_0',
  'granite.q4_0',
  'gemma.q4_0',
  'gpt2.q4_0',
  'gpt-neox.q4_0',
  'bloom.q4_0',
  'phi3-longrope.q4_0',
]

for (const name of models) {
  t.test(`${name}: the logits of its dequantised weights`, async (t) => {
    const error = maxError(await logitsOf(ggufFile(name), name), wanted(name))
    t.ok(error <= bound(name), `${error} <= ${bound(name)}`)
  })
}

t.test('mistral: its window is not in the file; the rows that it does not touch agree', async (t) => {
  const name = 'mistral.q4_0'
  const first = 9 * 263
  const got = await logitsOf(ggufFile(name), name)
  t.ok(maxError(got.subarray(0, first), wanted(name).subarray(0, first)) <= bound(name))
  t.ok(maxError(got, wanted(name)) > 1)
  const windowed = changed(t.testdir(), name, { window: keyBytes('llama.attention.sliding_window', 9) })
  t.equal((await readModelConfig(windowed)).family, 'mistral')
  t.ok(maxError(await logitsOf(windowed, name), wanted(name)) <= bound(name))
})

t.test('gemma3: what llama.cpp takes where its file is silent', async (t) => {
  const name = 'gemma3.q4_0'
  const silent = changed(t.testdir(), name, { 'gemma3.rope.freq_base_swa': null })
  t.same(await logitsOf(silent, name), await logitsOf(ggufFile(name), name), 'windowed layers turn by theta 10000')
})

t.test('canary: weights of another type are called wrong', async (t) => {
  t.notOk(maxError(await logitsOf(ggufFile('llama.q4_1'), 'llama.q4_0'), wanted('llama.q4_0')) <= bound('llama.q4_0'))
})

t.test('a split model is its first part; the others must be there and keep their names', async (t) => {
  const name = 'llama.q4_0'
  const folder = t.testdir()
  const first = split(folder, name, 3)
  t.ok(maxError(await logitsOf(first, name), wanted(name)) <= bound(name))
  const second = first.replace('-00001-', '-00002-')
  await t.rejects(loadModel(second), { code: 'E_ARGUMENT', message: /name the first: '.*-00001-of-00003\.gguf'/ })
  copyFileSync(first, join(folder, 'renamed.gguf'))
  await t.rejects(loadModel(join(folder, 'renamed.gguf')), { code: 'E_FORMAT', message: /-00001-of-00003\.gguf/ })
  rmSync(second)
  await t.rejects(loadModel(first), { code: 'E_MISSING', message: /llama\.q4_0-00002-of-00003\.gguf/ })
})

t.test('what a model is called, what it holds, and what it is planned to hold', async (t) => {
  const path = ggufFile('qwen2.q8_0')
  using model = await loadModel(path, { threads: 1, quantization: 'nf4' })
  t.match(model, { path, name: './qwen2.q8_0.gguf', unusedTensors: [] })
  t.match(model.config, {
    family: 'qwen2',
    vocabulary: 263,
    layers: 2,
    heads: 4,
    kvHeads: 2,
    tiedHead: true,
    endTokenIds: [2],
  })
  t.match(model.linears[0], /^model\.layers\.0\.self_attn\.q_proj$/)
  const planned = await estimate({
    model: path,
    quantization: 'nf4',
    adapter: {},
    batchSize: 1,
    maxLength: 8,
    threads: 1,
  })
  t.equal(planned.weights, model.memory.total)
})

for (const quantization of ['nf4', 'int8', 'bf16'] as const) {
  t.test(`${quantization} is made of the dequantised numbers: near them, and it trains`, async (t) => {
    const name = 'llama.q4_1'
    using model = await loadModel(ggufFile(name), { threads: 1, quantization })
    const row = rowOf(name)
    const error = maxError((await model.logits({ inputIds: [row] })).data, wanted(name))
    t.ok(error > 0 && error < { nf4: 2, int8: 0.2, bf16: 0.1 }[quantization], String(error))
    using adapter = model.createAdapter({ rank: 4, targetModules: 'all-linear' })
    const { gradients, loss } = await adapter.gradients({ inputIds: [row], labels: [row] })
    t.ok(loss > 0 && gradients.size === 28)
    const folder = t.testdir()
    await adapter.save(folder)
    t.match(JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8')), {
      base_model_name_or_path: './llama.q4_1.gguf',
    })
    using again = await model.loadAdapter(folder)
    t.same(again.vector(), adapter.vector())
  })
}

t.test('what is not read is refused by its name, with the cure', async (t) => {
  const folder = t.testdir()
  const name = 'llama.q4_0'
  const refused = async (changes: Record<string, Buffer | null>, code: string, message: RegExp) =>
    t.rejects(loadModel(changed(folder, name, changes)), { code, message })
  const text = (key: string, value: string) => ({ [key]: keyBytes(key, value) })
  const number = (key: string, value: number) => ({ [key]: keyBytes(key, value) })
  await refused(text('general.architecture', 'mamba'), 'E_UNSUPPORTED', /architecture 'mamba' .*llama, .*qwen2, qwen3/)
  await refused(text('general.type', 'adapter'), 'E_UNSUPPORTED', /adapter in GGUF.*loadAdapter/)
  await refused(text('llama.rope.scaling.type', 'spiral'), 'E_UNSUPPORTED', /rope scaling 'spiral'/)
  await refused(number('llama.expert_count', 8), 'E_UNSUPPORTED', /mixture of 8 experts/)
  await refused(number('llama.attention.value_length', 16), 'E_UNSUPPORTED', /value_length/)
  await refused(number('llama.rope.dimension_count', 16), 'E_UNSUPPORTED', /partial_rotary_factor/)
  await refused(
    { 'general.architecture': null },
    'E_FORMAT',
    /general\.architecture: expected the name of one, got nothing/,
  )
  await refused({ 'llama.block_count': null }, 'E_FORMAT', /llama\.block_count/)
  await refused(text('llama.block_count', '2'), 'E_FORMAT', /llama\.block_count: expected a whole number/)
  await refused({ 'llama.attention.layer_norm_rms_epsilon': null }, 'E_FORMAT', /rms_epsilon/)
  await refused(number('llama.block_count', 3), 'E_MISSING', /model\.layers\.2/)
  await refused(number('llama.block_count', 4000000000), 'E_CONFIG', /num_hidden_layers/)
  await refused(number('llama.feed_forward_length', 64), 'E_SHAPE', /mlp/)
  await refused(number('llama.attention.head_count', 0), 'E_CONFIG', /heads|head/)
  await t.rejects(loadModel(ggufFile('gsm-3m.vocab')), {
    code: 'E_MISSING',
    message: /token_embd\.weight.*vocabulary alone/,
  })
  await t.rejects(quantizeModel(ggufFile(name), join(folder, 'out')), {
    code: 'E_UNSUPPORTED',
    message: /quantization: 'nf4'/,
  })
  const bytes = readFileSync(ggufFile(name))
  writeFileSync(join(folder, 'cut.gguf'), bytes.subarray(0, bytes.length - 4096))
  await t.rejects(loadModel(join(folder, 'cut.gguf')), { code: 'E_FORMAT', message: /cut off/ })
  writeFileSync(join(folder, 'none.gguf'), 'none')
  await t.rejects(loadModel(join(folder, 'none.gguf')), { code: 'E_FORMAT', message: /no GGUF file/ })
  await t.rejects(loadModel(join(folder, 'absent.gguf')), { code: 'E_MISSING' })
  await t.rejects(loadModel(folder), { code: 'E_MISSING', message: /name the file itself/ })
})
