/** config.json in both spellings to one description; what does not work is refused by name. */
import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { linearModules, parseModelConfig } from '../../src/model/config.js'
import { alibiSlopes } from '../../src/model/families/bloom.js'
import { supportedFamilies } from '../../src/model/families/index.js'
import { readModelConfig } from '../../src/model/read-config.js'
import { weightFiles } from '../../src/model/weight-files.js'
import { describedFamilies, families, goldenFolder, goldenRoot } from '../support/golden-model.js'

type Json = Record<string, unknown>

function config(family: string, spelling: 4 | 5 = 5): Json {
  const name = spelling === 5 ? 'config.json' : 'config.v4.json'
  return JSON.parse(readFileSync(join(goldenFolder(family), name), 'utf8')) as Json
}

for (const family of families) {
  t.test(`${family}: both spellings give the same description`, async (t) => {
    const newer = parseModelConfig(config(family))
    const older = parseModelConfig(config(family, 4))
    t.same(newer.description, older.description)
    t.equal(newer.storedType, older.storedType)
    t.equal(linearModules(newer.description).length, 14)
    t.same((await readModelConfig(goldenFolder(family))).endTokenIds, [2])
  })
}

for (const family of describedFamilies) {
  t.test(`${family}: both spellings give the description that the native tests read`, (t) => {
    const kept = JSON.parse(readFileSync(join(goldenRoot, family, 'description.json'), 'utf8')) as Json
    t.strictSame(parseModelConfig(config(family)).description, kept)
    t.strictSame(parseModelConfig(config(family, 4)).description, kept)
    t.end()
  })
}

/** From torch: ROPE_INIT_FUNCTIONS['llama3'] on golden/models/llama3-rope, and 1 / theta^(2i/D) in float32. */
const llama3Frequencies = [
  1, 0.44655120372772217, 0.08489851653575897, 0.011130732484161854, 0.004970442038029432, 0.0022195568308234215,
  0.0009911457309499383, 0.0004425973165780306, 0.00019764236640185118, 8.825742406770587e-5, 3.941146133001894e-5,
  1.7599233615328558e-5, 7.858958269935101e-6, 3.509427642711671e-6, 1.5671389519411605e-6, 6.998077992648177e-7,
]
const qwen2Frequencies = [
  1, 0.4216965138912201, 0.17782793939113617, 0.07498941570520401, 0.03162277862429619, 0.01333521492779255,
  0.005623413249850273, 0.0023713738191872835, 0.0010000000474974513, 0.00042169648804701865, 0.00017782794020604342,
  7.498942431993783e-5, 3.162277425872162e-5, 1.333521413471317e-5, 5.62341347176698e-6, 2.3713737391517498e-6,
]

function worstRelative(got: number[], want: number[]): number {
  let worst = got.length === want.length ? 0 : Number.NaN
  for (const [i, value] of want.entries()) {
    const error = Math.abs(got[i]! - value) / value
    if (!(error <= worst)) worst = error
  }
  return worst
}

t.test('heads of an odd width: where nothing turns', (t) => {
  t.equal(parseModelConfig({ ...config('gpt2'), n_embd: 75, n_head: 5 }).headDim, 15)
  t.throws(() => parseModelConfig({ ...config('llama'), hidden_size: 60, head_dim: 15 }), {
    code: 'E_CONFIG',
    message: /even/,
  })
  t.throws(() => parseModelConfig({ ...config('gpt2'), n_embd: 1028, n_head: 4 }), { code: 'E_CONFIG', message: /256/ })
  t.equal(parseModelConfig({ ...config('gpt2'), scale_attn_weights: false }).description.attentionScale, 1)
  t.end()
})

t.test('slopes of ALiBi are those of transformers, for heads that are a power of two and others', (t) => {
  t.same(alibiSlopes(1), [2 ** -8])
  t.same(alibiSlopes(4), [0.25, 0.0625, 0.015625, 0.00390625])
  t.same(alibiSlopes(6), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125])
  t.same(alibiSlopes(7), [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125, 0.03125])
  // Their powers of powers are in float32: a few units in the last place.
  const rest = [0.7071067690849304, 0.3535533845424652, 0.1767766773700714, 0.0883883386850357]
  const twelve = [...Array.from({ length: 8 }, (_, i) => 2 ** -(i + 1)), ...rest]
  t.ok(worstRelative(alibiSlopes(12), twelve) <= 4 * 2 ** -24)
  t.end()
})

t.test('inverse frequencies are those of transformers', (t) => {
  const rope = (family: string) => parseModelConfig(config(family)).description.ropes[0]!.inverseFrequencies
  t.ok(worstRelative(rope('llama3-rope'), llama3Frequencies) <= 2.4e-7)
  t.ok(worstRelative(rope('qwen2'), qwen2Frequencies) <= 2.4e-7)
  t.notOk(worstRelative(rope('qwen2'), llama3Frequencies) <= 2.4e-7, 'canary')
  const linear = parseModelConfig({ ...config('llama', 4), rope_scaling: { type: 'linear', factor: 4 } })
  t.equal(linear.description.ropes[0]!.inverseFrequencies[0], 0.25)
  t.end()
})

t.test('what the families differ in', (t) => {
  const layers = (family: string, changes: Json = {}) =>
    parseModelConfig({ ...config(family), ...changes }).description.layers
  t.equal(layers('mistral')[0]!.attention.window, 9)
  t.equal(layers('mistral', { sliding_window: null })[0]!.attention.window, 0)
  const [yes, no] = [{ bias: true }, { bias: false }]
  t.match(layers('qwen2')[0]!.attention, { in: [yes, yes, yes], out: no, window: 0 })
  const biased = layers('llama', { attention_bias: true, mlp_bias: true })[1]!
  t.match(biased, { attention: { in: [yes, yes, yes], out: yes }, mlp: { in: [yes, yes], out: yes } })
  t.match(layers('qwen3')[1]!.attention, { qNorm: 'model.layers.1.self_attn.q_norm', in: [no, no, no] })
  const windows = { use_sliding_window: true, sliding_window: 7, max_window_layers: 1 }
  t.same(
    layers('qwen2', { ...windows, layer_types: null }).map(({ attention }) => attention.window),
    [0, 7],
  )
  t.same(
    layers('qwen2', { ...windows, layer_types: ['sliding_attention', 'full_attention'] }).map(
      ({ attention }) => attention.window,
    ),
    [7, 0],
  )
  const { head_dim: _, ...noHeadDim } = config('llama')
  t.equal(parseModelConfig(noHeadDim).headDim, 32)
  t.end()
})

t.test('another family is refused by name, listing those that work', (t) => {
  t.throws(() => parseModelConfig({ ...config('llama'), model_type: 'falcon' }), {
    code: 'E_UNSUPPORTED',
    message: new RegExp(`'falcon'.*${supportedFamilies.join(', ')}`),
  })
  t.throws(() => parseModelConfig({ ...config('llama'), model_type: 'constructor' }), { code: 'E_UNSUPPORTED' })
  t.end()
})

t.test('a bad field is named with what stood there and what was expected', (t) => {
  const bad = (changes: Json) => () => parseModelConfig({ ...config('llama'), ...changes }, 'x/config.json')
  t.throws(bad({ hidden_size: '128' }), {
    code: 'E_CONFIG',
    message: 'x/config.json: hidden_size is "128", expected a whole number from 1 to 2147483647',
  })
  t.throws(bad({ num_key_value_heads: 3 }), { code: 'E_CONFIG', message: /num_key_value_heads is 3/ })
  t.throws(bad({ vocab_size: undefined }), { code: 'E_CONFIG', message: /vocab_size is nothing/ })
  t.throws(bad({ hidden_act: 'relu' }), { code: 'E_CONFIG', message: /hidden_act/ })
  t.throws(bad({ rms_norm_eps: -1 }), { code: 'E_CONFIG' })
  t.throws(bad({ eos_token_id: 'x' }), { code: 'E_CONFIG' })
  t.throws(bad({ dtype: 'int4' }), { code: 'E_CONFIG', message: /dtype is "int4"/ })
  t.throws(bad({ rope_parameters: { rope_theta: 1e4, rope_type: 'su' } }), {
    code: 'E_UNSUPPORTED',
    message: /rope type 'su' .*default, linear, dynamic, llama3, yarn, longrope/,
  })
  t.throws(bad({ rope_parameters: { rope_theta: 1e4, partial_rotary_factor: 0.5 } }), { code: 'E_UNSUPPORTED' })
  t.throws(bad({ quantization_config: { quant_method: 'aqlm' } }), { code: 'E_UNSUPPORTED', message: /'aqlm'/ })
  t.end()
})

t.test('bitsandbytes folders', async (t) => {
  const nf4 = await readModelConfig(goldenFolder('llama-bnb-nf4'))
  t.same(nf4.storedQuantization, { method: 'bitsandbytes', format: 'nf4', doubleQuantization: true })
  const int8 = await readModelConfig(goldenFolder('qwen2-bnb-int8'))
  t.same(int8.storedQuantization, { method: 'bitsandbytes', format: 'int8', doubleQuantization: false })
  const stored = (quantization_config: Json) =>
    parseModelConfig({ ...config('llama'), quantization_config }).storedQuantization
  const four = { method: 'bitsandbytes', format: 'fp4', doubleQuantization: false }
  t.strictSame(stored({ load_in_4bit: true }), four, "bitsandbytes' own defaults")
  t.strictSame(stored({ quant_method: 'bitsandbytes', load_in_4bit: true, load_in_8bit: false }), four)
  t.strictSame(stored({ load_in_8bit: true, bnb_4bit_use_double_quant: true, bnb_4bit_quant_type: 'nf4' }), {
    method: 'bitsandbytes',
    format: 'int8',
    doubleQuantization: false,
  })
  t.match(stored({ load_in_4bit: true, bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true }), {
    format: 'nf4',
    doubleQuantization: true,
  })
  t.strictSame(
    parseModelConfig({ ...config('llama'), compression_config: { load_in_4bit: true } }).storedQuantization,
    four,
  )
  t.equal(parseModelConfig(config('llama')).storedQuantization, undefined)
  const refused = (quantization_config: Json, code: string, message: RegExp) =>
    t.throws(() => stored(quantization_config), { code, message })
  refused({ quant_method: 'bitsandbytes' }, 'E_CONFIG', /load_in_4bit is nothing, expected exactly one of/)
  refused({ load_in_4bit: true, load_in_8bit: true }, 'E_CONFIG', /exactly one of/)
  refused({ load_in_4bit: true, bnb_4bit_quant_type: 'nf5' }, 'E_CONFIG', /bnb_4bit_quant_type is "nf5"/)
  refused({ load_in_4bit: true, bnb_4bit_quant_storage: 'float16' }, 'E_UNSUPPORTED', /quant_storage 'float16'/)
  refused({ quant_method: 'eetq', load_in_4bit: true }, 'E_UNSUPPORTED', /'eetq'/)
})

t.test('end tokens: one, several, from both files, none outside the vocabulary', (t) => {
  const ends = (own: unknown, generation?: Json) =>
    parseModelConfig({ ...config('llama'), eos_token_id: own }, 'config.json', generation).endTokenIds
  t.same(ends([2, 5]), [2, 5])
  t.same(ends(2, { eos_token_id: [7, 2] }), [7, 2])
  t.same(ends(null), [])
  t.same(ends(2, { eos_token_id: 263 }), [2])
  t.end()
})

t.test('tokens with a part of their own: within the vocabulary, the first of several', (t) => {
  const { bosTokenId, padTokenId } = parseModelConfig({ ...config('llama'), bos_token_id: [3, 4], pad_token_id: 5 })
  t.same([bosTokenId, padTokenId], [3, 5])
  const none = parseModelConfig({ ...config('llama'), bos_token_id: 263, pad_token_id: -1 })
  t.same([none.bosTokenId, none.padTokenId], [undefined, undefined])
  t.equal(parseModelConfig({ ...config('llama'), pad_token_id: 262 }).padTokenId, 262)
  t.end()
})

t.test('weight files: whole, sharded, missing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fedlora-files-'))
  await t.rejects(weightFiles(folder), { code: 'E_MISSING' })
  writeFileSync(join(folder, 'pytorch_model.bin'), '')
  await t.rejects(weightFiles(folder), { code: 'E_MISSING', message: /safe_serialization/ })
  for (const [name, cure] of [
    ['model.fp16.safetensors', /a variant/],
    ['consolidated.safetensors', /its maker's own layout/],
    ['adapter_model.safetensors', /this is an adapter/],
    ['weights.safetensors', /name the file itself/],
  ] as const) {
    const other = mkdtempSync(join(tmpdir(), 'fedlora-files-'))
    writeFileSync(join(other, name), '')
    await t.rejects(weightFiles(other), { code: 'E_MISSING', message: cure }, name)
    t.same(await weightFiles(other, join(other, name)), [join(other, name)], 'unless it is named itself')
  }
  const linked = mkdtempSync(join(tmpdir(), 'fedlora-files-'))
  symlinkSync('/nowhere', join(linked, 'model.safetensors'))
  await t.rejects(weightFiles(linked), { code: 'E_MISSING', message: /a link to a file that is not there/ })
  const index = join(folder, 'model.safetensors.index.json')
  writeFileSync(index, JSON.stringify({ weight_map: { a: 'one.safetensors', b: 'two.safetensors' } }))
  writeFileSync(join(folder, 'one.safetensors'), '')
  await t.rejects(weightFiles(folder), { code: 'E_MISSING', message: /two\.safetensors/ })
  writeFileSync(join(folder, 'two.safetensors'), '')
  const both = [join(folder, 'one.safetensors'), join(folder, 'two.safetensors')]
  t.same(await weightFiles(folder), both)
  t.same(await weightFiles(folder, both[1]), both, 'a shard stands for all')
  writeFileSync(index, JSON.stringify({ weight_map: { a: '../../etc/passwd' } }))
  await t.rejects(weightFiles(folder), { code: 'E_FORMAT' })
  writeFileSync(index, '{')
  await t.rejects(weightFiles(folder), { code: 'E_FORMAT' })
  await t.rejects(readModelConfig(folder), { code: 'E_MISSING', message: /config\.json/ })
})
