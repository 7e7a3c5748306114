/** What is written beside weights, and into which folders: files and names, without a model. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { stringifyKeepingNumbers } from '../../src/model/json-numbers.js'
import { mergedConfig } from '../../src/model/merge.js'
import { availableCores, checkBaseFormat, modelOptionsSchema } from '../../src/model/model-options.js'
import { checkOutputFolder, writeModelFolder } from '../../src/model/output-folder.js'
import { quantizationConfig, quantizeOptionsSchema } from '../../src/model/quantize.js'
import { readPromptFormat, writePromptFormat } from '../../src/model/remembered.js'
import { copySideFiles, sideFiles } from '../../src/model/side-files.js'
import { weightFiles } from '../../src/model/weight-files.js'

/** A folder of empty files. */
function folderOf(t: Test, ...names: string[]): string {
  return t.testdir(Object.fromEntries(names.map((name) => [name, ''])))
}

t.test('the config of a merged folder: the type that is written, in the spelling that was there', (t) => {
  const plain = { torch_dtype: 'float16', a: 1 }
  t.strictSame(mergedConfig(plain), plain)
  t.strictSame(mergedConfig({ ...plain, quantization_config: null }), plain)
  t.strictSame(mergedConfig({ ...plain, quantization_config: {} }), { torch_dtype: 'bfloat16', a: 1 })
  t.strictSame(mergedConfig({ dtype: 'float16', quantization_config: {} }), { dtype: 'bfloat16' })
  t.strictSame(mergedConfig({ quantization_config: {} }), { dtype: 'bfloat16' })
  t.end()
})

t.test('quantization_config as transformers writes it', (t) => {
  const written = (quantization: 'nf4' | 'fp4' | 'int8', doubleQuantization: boolean) =>
    JSON.parse(stringifyKeepingNumbers(quantizationConfig({ quantization, doubleQuantization })))
  t.strictSame(written('nf4', true), {
    _load_in_4bit: true,
    _load_in_8bit: false,
    bnb_4bit_compute_dtype: 'float32',
    bnb_4bit_quant_storage: 'uint8',
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: true,
    llm_int8_enable_fp32_cpu_offload: false,
    llm_int8_has_fp16_weight: false,
    llm_int8_skip_modules: null,
    llm_int8_threshold: 6,
    load_in_4bit: true,
    load_in_8bit: false,
    quant_method: 'bitsandbytes',
  })
  t.match(written('fp4', false), { bnb_4bit_quant_type: 'fp4', bnb_4bit_use_double_quant: false, load_in_4bit: true })
  t.match(written('int8', true), {
    _load_in_4bit: false,
    _load_in_8bit: true,
    bnb_4bit_quant_type: 'fp4',
    bnb_4bit_use_double_quant: false,
    load_in_4bit: false,
    load_in_8bit: true,
  })
  const text = stringifyKeepingNumbers(quantizationConfig({ quantization: 'int8', doubleQuantization: false }))
  t.match(text, /"llm_int8_threshold": 6\.0,/, 'a float to Python')
  t.end()
})

t.test('options of quantising: defaults, and every value that is taken', (t) => {
  t.strictSame(quantizeOptionsSchema.parse({}), {
    quantization: 'nf4',
    doubleQuantization: false,
    blockSize: 64,
    overwrite: false,
  })
  const accepts = (options: object) => quantizeOptionsSchema.safeParse(options).success
  for (const quantization of ['nf4', 'fp4', 'int8']) t.ok(accepts({ quantization }))
  for (const wrong of [
    { quantization: '' },
    { quantization: 'bf16' },
    { threads: 0 },
    { threads: 1025 },
    { blockSize: 32 },
    { x: 1 },
  ]) {
    t.notOk(accepts(wrong), JSON.stringify(wrong))
  }
  t.ok(accepts({ threads: 1 }) && accepts({ threads: 1024 }) && accepts({ overwrite: true, blockSize: 128 }))
  t.end()
})

t.test('double quantisation needs block scales', (t) => {
  for (const quantization of ['nf4', 'fp4']) checkBaseFormat({ quantization, doubleQuantization: true }, 'o')
  for (const quantization of ['none', 'bf16', 'int8']) {
    checkBaseFormat({ quantization, doubleQuantization: false }, 'o')
    t.throws(() => checkBaseFormat({ quantization, doubleQuantization: true }, 'o'), {
      code: 'E_CONFIG',
      message: `o: doubleQuantization needs quantization 'nf4' or 'fp4', got '${quantization}'`,
    })
  }
  t.end()
})

t.test('how weights are held: defaults, and every value that is taken', (t) => {
  t.strictSame(modelOptionsSchema.parse({}), {
    device: 'cpu',
    quantization: 'none',
    doubleQuantization: false,
    blockSize: 64,
    compute: 'f32',
  })
  const taken = {
    quantization: ['none', 'bf16', 'int8', 'nf4', 'fp4'],
    doubleQuantization: [true],
    blockSize: [64, 128],
    compute: ['f32', 'bf16'],
    threads: [1, 1024],
    baseModelName: ['x'],
    onProgress: [() => {}],
  }
  const refused = {
    quantization: ['', 'int4'],
    blockSize: [32, 96],
    compute: ['', 'f16'],
    threads: [0, 1025, 1.5],
    baseModelName: [''],
    onProgress: [1],
  }
  const accepts = (field: string, value: unknown) => modelOptionsSchema.safeParse({ [field]: value }).success
  for (const [field, values] of Object.entries(taken))
    for (const one of values) t.equal(accepts(field, one), true, `${field} ${one}`)
  for (const [field, values] of Object.entries(refused))
    for (const one of values) t.equal(accepts(field, one), false, `${field} ${one}`)
  t.equal(availableCores(), availableParallelism())
  t.end()
})

t.test('side files: those of tokenizer, template and generation, and no others', async (t) => {
  const kept = [
    'added_tokens.json',
    'chat_template.jinja',
    'chat_template.json',
    'generation_config.json',
    'merges.txt',
    'preprocessor_config.json',
    'special_tokens_map.json',
    'tokenizer.json',
    'tokenizer.model',
    'tokenizer_config.json',
    'vocab.json',
    'vocab.txt',
    'x.tiktoken',
  ]
  const others = [
    'config.json',
    'model.safetensors',
    'README.md',
    'tokenizer.txt',
    'my_vocab.json',
    'merges.txt.bak',
    'xtiktoken',
  ]
  const from = folderOf(t, ...kept, ...others)
  t.same(await sideFiles(from), kept, 'sorted')
  const to = join(from, 'to')
  await copySideFiles(from, to)
  t.same(readdirSync(to).sort(), kept)
  await t.rejects(sideFiles(join(from, 'none')), { code: 'E_IO', message: /cannot read/ })
})

t.test('the format of an adapter, beside it', async (t) => {
  const folder = t.testdir({})
  const file = join(folder, 'fedlora.json')
  t.equal(await readPromptFormat(folder), undefined)
  await writePromptFormat(folder, undefined)
  await writePromptFormat(folder, { format: 'alpaca', fields: { a: 'b' }, chatTemplateKwargs: {} })
  t.strictSame(JSON.parse(readFileSync(file, 'utf8')), {
    version: 1,
    prompt: { format: 'alpaca', fields: { a: 'b' }, chatTemplateKwargs: {} },
  })
  t.strictSame(await readPromptFormat(folder), { format: 'alpaca', fields: { a: 'b' }, chatTemplateKwargs: {} })
  await writePromptFormat(folder, undefined)
  t.notOk(existsSync(file))
  const refused = async (text: string, code: string, message: RegExp) => {
    writeFileSync(file, text)
    await t.rejects(readPromptFormat(folder), {
      code,
      message,
      ...(code === 'E_VERSION' && { details: { file, version: 2 } }),
    })
  }
  await refused('{"version":2}', 'E_VERSION', /is of version 2, this fedlora reads 1; use a newer fedlora/)
  await refused('{"version":"1"}', 'E_FORMAT', /version.*; mend the file, or remove it/)
  await refused('{"version":1,"prompt":{"format":"alpaca","x":1}}', 'E_FORMAT', /unknown key "prompt\.x"/)
  await refused('{"version":1,"prompt":{"format":"alpaca"},"y":1}', 'E_FORMAT', /unknown key "y"/)
  await refused('[]', 'E_FORMAT', /expected an object/)
})

t.test('where a model may be written', async (t) => {
  const parent = t.testdir({ empty: {}, file: '', model: { 'config.json': '{}' }, link: t.fixture('symlink', 'model') })
  const at = (name: string) => join(parent, name)
  const check = (name: string, overwrite = false, from?: string) =>
    checkOutputFolder(at(name), 'merge', overwrite, from)
  t.equal(await check('new/model'), at('new/model'))
  t.equal(await check('empty'), at('empty'))
  t.equal(
    await checkOutputFolder('.', 'merge', false).catch((error) => error.details.folder),
    process.cwd(),
    'absolute',
  )
  const refused = (promise: Promise<unknown>, message: RegExp) => t.rejects(promise, { code: 'E_ARGUMENT', message })
  await refused(check('file'), /the output folder '.*file' is a file; choose another/)
  await refused(check('model', true, at('model')), /^merge: .* is the model's own folder/)
  await refused(check('link', true, at('model')), /is the model's own folder/)
  await refused(check('model', true), /is not empty \(config\.json\) and was not written by fedlora/)

  const six = Array.from({ length: 6 }, (_, i) => `f${i}`)
  mkdirSync(at('six'))
  for (const name of six) writeFileSync(join(at('six'), name), '')
  await refused(check('six'), /is not empty \((f\d, ){5}f\d\) and/)
  writeFileSync(join(at('six'), 'f6'), '')
  await refused(check('six'), /is not empty \((f\d, ){5}f\d and 1 more\) and/)
})

t.test('a model folder is written whole, replaced whole, or not at all', async (t) => {
  const parent = t.testdir({
    from: { 'config.json': '{"a": 1.0}', 'tokenizer.json': 'T', 'merges.txt': 'M', 'other.txt': 'O' },
  })
  const from = join(parent, 'from')
  const folder = join(parent, 'deep', 'out')
  const weights = (text: string) => async (path: string) => writeFileSync(path, text)
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  const config = (raw: Record<string, unknown>) => ({ ...raw, b: 2 })
  const failing = () => Promise.reject(new Error('broken'))

  await t.rejects(writeModelFolder(folder, from, failing, config), { message: 'broken' })
  t.same(readdirSync(parent), ['from'], 'not even the folders above')
  const late = () => {
    throw new Error('late')
  }
  await t.rejects(writeModelFolder(folder, from, weights('W'), late), { message: 'late' })
  t.same(readdirSync(parent), ['from'], 'nothing of what was written before it failed')
  mkdirSync(folder, { recursive: true })
  await t.rejects(writeModelFolder(folder, from, failing, config), { message: 'broken' })
  t.same(readdirSync(folder), [], 'a folder that was there stays')

  const meanwhile: unknown[] = []
  const looking = async (path: string) => {
    meanwhile.push(readdirSync(folder), JSON.parse(read('fedlora-files.json')))
    writeFileSync(path, 'W')
  }
  await writeModelFolder(folder, from, looking, config)
  const begun = { 'model.safetensors': null, 'merges.txt': null, 'tokenizer.json': null, 'config.json': null }
  t.strictSame(
    meanwhile,
    [['fedlora-files.json'], { files: begun }],
    'what a killed run would have written is told first',
  )
  const written = ['config.json', 'fedlora-files.json', 'merges.txt', 'model.safetensors', 'tokenizer.json']
  t.same(readdirSync(folder).sort(), written)
  t.same([read('model.safetensors'), read('tokenizer.json'), read('merges.txt')], ['W', 'T', 'M'])
  t.equal(read('config.json'), '{\n  "a": 1.0,\n  "b": 2\n}\n')
  t.match(JSON.parse(read('fedlora-files.json')), {
    files: { 'model.safetensors': '1 bytes', 'tokenizer.json': /^[0-9a-f]{64}$/, 'config.json': /^[0-9a-f]{64}$/ },
  })

  const check = (overwrite = true) => checkOutputFolder(folder, 'quantize', overwrite)
  const refused = (message: RegExp, overwrite?: boolean) => t.rejects(check(overwrite), { code: 'E_ARGUMENT', message })
  await refused(
    /^quantize: .* holds a model written before \(.*\); choose another, or replace it with overwrite/,
    false,
  )
  t.equal(await check(), folder)
  writeFileSync(join(folder, '.config.json.77.0123abcd.tmp'), '', { flag: 'wx' })
  t.equal(await check(), folder, 'what a killed run left is ours')
  writeFileSync(join(folder, 'notes.txt'), '')
  await refused(/holds what fedlora did not write: notes\.txt; move it away/)
  writeFileSync(join(folder, 'tokenizer.json'), 't')
  await refused(/did not write: (notes\.txt, )?tokenizer\.json \(changed since\)(, notes\.txt)?;/)
  writeFileSync(join(folder, 'tokenizer.json'), 'T')
  writeFileSync(join(folder, 'model.safetensors'), 'WW')
  await refused(/model\.safetensors \(changed since\)/)

  await t.rejects(writeModelFolder(folder, from, failing, config), { message: 'broken' })
  t.equal(read('model.safetensors'), 'WW', 'until the new weights are there the old model stays')
  t.ok(existsSync(join(folder, 'config.json')))
  writeFileSync(join(from, 'config.json'), '{')
  await t.rejects(writeModelFolder(folder, from, weights('new'), config), { code: 'E_FORMAT' })
  t.notOk(existsSync(join(folder, 'config.json')), 'a folder of two models loads as none')
  writeFileSync(join(from, 'config.json'), '{}')
  await writeModelFolder(folder, from, weights('new'), config)
  t.same(readdirSync(folder).sort(), written, 'what was there before is gone')
  t.equal(read('model.safetensors'), 'new')
  t.equal(await check(), folder)
})

t.test('weights that are not read, by what the folder has instead', async (t) => {
  for (const [name, cure] of [
    ['adapter_config.json', /this is an adapter/],
    ['adapter_model.bin', /this is an adapter/],
    ['pytorch_model-00001-of-00002.bin', /a pickle/],
    ['pytorch_model.bin.index.json', /a pickle/],
    ['consolidated.00.pth', /a pickle/],
    ['consolidated-1.safetensors', /in its maker's own layout/],
    ['model.fp16.safetensors.index.json', /a variant/],
    ['a.gguf', /name the file itself/],
    ['tf_model.h5', /another framework/],
    ['flax_model.msgpack', /another framework/],
    ['decoder.onnx', /another framework/],
    ['whole.safetensors', /name the file itself/],
  ] as const) {
    const folder = t.testdir({ [name]: '' })
    await t.rejects(weightFiles(folder), {
      code: 'E_MISSING',
      message: new RegExp(`has neither .*; it has '${name.replaceAll('.', '\\.')}': ${cure.source}`),
    })
  }
  const empty = t.testdir({ 'notes.txt': '' })
  await t.rejects(weightFiles(empty), { code: 'E_MISSING', message: /model\.safetensors\.index\.json$/ })
  const linked = t.testdir({})
  symlinkSync('/nowhere', join(linked, 'model.safetensors.index.json'))
  await t.rejects(weightFiles(linked), { message: /its 'model\.safetensors\.index\.json' is a link/ })
})

t.test('shards that an index lists', async (t) => {
  const folder = t.testdir({ 'b.safetensors': '', 'a.safetensors': '' })
  const index = (weight_map: unknown) =>
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map }))
  const at = (name: string) => join(folder, name)
  index({ x: 'b.safetensors', y: 'a.safetensors', z: 'b.safetensors' })
  const both = [at('a.safetensors'), at('b.safetensors')]
  t.same(await weightFiles(folder), both, 'sorted, once each')
  t.same(await weightFiles(folder, at('b.safetensors')), both)
  t.same(await weightFiles(folder, at('c.safetensors')), [at('c.safetensors')], 'no shard of this index')
  for (const map of [undefined, null, [], 'x', 7]) {
    index(map)
    await t.rejects(weightFiles(folder), { code: 'E_FORMAT', message: /has no weight_map object/ }, JSON.stringify(map))
  }
  index({})
  await t.rejects(weightFiles(folder), { code: 'E_FORMAT', message: /is empty/ })
  for (const name of ['', '.', '..', '../a', 'a/b', 'a\\b', 'a\0b', 7, null]) {
    index({ x: name })
    await t.rejects(
      weightFiles(folder),
      { code: 'E_FORMAT', message: /names the shard .*, expected a file name/ },
      JSON.stringify(name),
    )
  }
  index({ x: 'c.safetensors', y: 'a.safetensors', z: 'd.safetensors' })
  await t.rejects(weightFiles(folder), {
    code: 'E_MISSING',
    message: /^2 of 3 shards .*: c\.safetensors, d\.safetensors; download them again/,
    details: { missing: ['c.safetensors', 'd.safetensors'] },
  })
  index({ x: '...a' })
  await t.rejects(weightFiles(folder), { code: 'E_MISSING' }, 'dots before a name are a name')
  writeFileSync(at('model.safetensors'), '')
  t.same(await weightFiles(folder), [at('model.safetensors')], 'a whole file goes before')
  t.same(await weightFiles(folder, at('model.safetensors')), [at('model.safetensors')])
})
