/** GGUF files that are written: read again by bytes, against llama.cpp's converter, and what is refused. */
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readGguf } from '../../src/gguf/metadata.js'
import { exportAdapter, loadModel, loadTokenizer } from '../../src/index.js'
import { ggufFile, ggufRoot, takeApart } from '../support/gguf.js'
import { goldenFolder, maxError } from '../support/golden-model.js'

interface GoldenTensor {
  type: string
  shape: number[]
  sha256: string
}
const files = JSON.parse(readFileSync(join(ggufRoot, 'files.json'), 'utf8')) as Record<
  string,
  { metadata: Record<string, unknown>; tensors: Record<string, GoldenTensor> }
>
const row = [5, 9, 200, 17, 33, 90, 4, 61]

/** A model's folder with the tokenizer of a golden GGUF file's making. */
const tensorsOf = (path: string) => new Map(takeApart(path).tensors.map(({ name, data }) => [name, data]))

for (const family of ['llama', 'qwen2', 'gemma2', 'phi3'] as const) {
  t.test(`${family}: an adapter has the tensors of llama.cpp's converter, byte for byte`, async (t) => {
    const file = join(t.testdir(), 'adapter.gguf')
    const folder = goldenFolder(family)
    const result = await exportAdapter(folder, join(folder, 'adapter'), file)
    t.same(result, { file, layers: family === 'phi3' ? 8 : 14 })
    const want = tensorsOf(ggufFile(`${family}.lora`))
    const got = tensorsOf(file)
    t.same([...got.keys()].sort(), [...want.keys()].sort())
    for (const [name, data] of want) t.ok(got.get(name)!.equals(data), name)
    const metadata = readGguf(file)
    for (const [key, value] of Object.entries(files[`${family}.lora.gguf`]!.metadata)) {
      if (typeof value === 'string' && key !== 'general.name') t.equal(metadata.text(key), value, key)
      if (typeof value === 'number') t.equal(metadata.number(key), value, key)
    }
  })
}

t.test('scalings that llama.cpp cannot say are multiplied into lora_b', async (t) => {
  const folder = goldenFolder('llama')
  for (const kind of ['rslora', 'pattern']) {
    const adapter = join(folder, 'peft', kind)
    const file = join(t.testdir(), `${kind}.gguf`)
    await exportAdapter(folder, adapter, file)
    using model = await loadModel(folder, { threads: 1 })
    using own = await model.loadAdapter(adapter)
    const alpha = readGguf(file).number('adapter.lora.alpha')!
    const got = tensorsOf(file)
    const numbers = (name: string) => {
      const bytes = got.get(name)!
      return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
    }
    const name = 'blk.1.ffn_down.weight'
    const module = 'base_model.model.model.layers.1.mlp.down_proj'
    const A = own.tensors().get(`${module}.lora_A.weight`)!
    const B = own.tensors().get(`${module}.lora_B.weight`)!
    const [rank] = A.shape
    const { rsLora, alphaPattern, alpha: whole } = own.config
    const layerAlpha =
      Object.entries(alphaPattern).find(([key]) => new RegExp(`${key}$`).test('layers.1.mlp.down_proj'))?.[1] ?? whole
    const scaling = rsLora ? layerAlpha / Math.sqrt(rank) : layerAlpha / rank
    t.same(numbers(`${name}.lora_a`).subarray(0, A.data.length), A.data)
    const expected = B.data.map((value) => (value * scaling * rank) / alpha)
    t.ok(maxError(numbers(`${name}.lora_b`).subarray(0, B.data.length), expected) < 1e-6, kind)
  }
})

t.test('a merged file: the logits of the adapter over the base, in every type within what it rounds', async (t) => {
  const folder = goldenFolder('llama')
  const out = t.testdir()
  using model = await loadModel(folder, { threads: 1 })
  using adapter = await model.loadAdapter(join(folder, 'adapter'))
  const want = (await model.logits({ inputIds: [row] }, { adapter })).data
  for (const [type, bound] of [
    ['f32', 2e-5],
    ['f16', 0.02],
    ['bf16', 0.1],
    ['q8_0', 0.15],
    ['q4_0', 3],
  ] as const) {
    const file = join(out, `${type}.gguf`)
    const result = await adapter.merge(file, { format: 'gguf', type })
    t.match(result, { path: file, notes: [/no tokenizer\.json/] })
    using merged = await loadModel(file, { threads: 1 })
    const error = maxError((await merged.logits({ inputIds: [row] })).data, want)
    t.ok(error <= bound && (type === 'f32' || error > 0), `${type}: ${error}`)
    t.match(merged.config, { family: 'llama', vocabulary: 263, tiedHead: model.config.tiedHead })
  }
})

t.test('a file out of a file: everything that is not a matrix stays as it is', async (t) => {
  for (const name of ['llama3-rope.q4_0', 'qwen2.q8_0', 'bloom.q4_0', 'gemma.q4_0']) {
    const file = join(t.testdir(), 'x.gguf')
    using model = await loadModel(ggufFile(name), { threads: 1 })
    using adapter = model.createAdapter({ rank: 2 })
    t.same((await adapter.merge(file, { format: 'gguf', type: 'f32' })).notes, [])
    using again = await loadModel(file, { threads: 1 })
    const logits = async (one: typeof model) => (await one.logits({ inputIds: [row] })).data
    t.same(await logits(again), await logits(model))
    const before = takeApart(ggufFile(name)).keys
    const after = takeApart(file).keys
    before.delete('general.file_type')
    for (const [key, bytes] of before) t.ok(after.get(key)?.equals(bytes), key)
    t.same([...tensorsOf(file).keys()].sort(), [...tensorsOf(ggufFile(name)).keys()].sort())
    const text = ' the thing, 12'
    t.same((await again.tokenizer()).encode(text), (await model.tokenizer()).encode(text))
  }
})

t.test("a folder's tokenizer goes into the file: same ids, special tokens and template", async (t) => {
  const shipped = 'assets/gsm-3m'
  const file = join(t.testdir(), 'x.gguf')
  using model = await loadModel(shipped, { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  await adapter.merge(file, { format: 'gguf' })
  const ours = await loadTokenizer(file)
  const theirs = await loadTokenizer(shipped)
  for (const text of ['', ' a', "Tom's 12 apples\n\n= 3,5 %", '<|im_start|>user', 'é🙂\u3000x'])
    t.same(ours.encode(text), theirs.encode(text), text)
  const messages = [{ role: 'user', content: 'What is 2 + 2?' }]
  t.equal(ours.applyChatTemplate(messages), theirs.applyChatTemplate(messages))
  for (const name of ['bosToken', 'eosToken', 'padToken', 'endTokens', 'specialPrefix', 'vocabularySize'] as const)
    t.same(ours[name], theirs[name], name)
  t.equal(readGguf(file, true).text('tokenizer.ggml.pre'), 'smollm')
  t.equal(
    createHash('sha256').update(readGguf(file, true).texts('tokenizer.ggml.tokens')!.join('\n')).digest('hex'),
    createHash('sha256')
      .update(readGguf(ggufFile('gsm-3m.vocab'), true).texts('tokenizer.ggml.tokens')!.join('\n'))
      .digest('hex'),
  )
  t.same(
    readGguf(file, true).texts('tokenizer.ggml.merges'),
    readGguf(ggufFile('gsm-3m.vocab'), true).texts('tokenizer.ggml.merges'),
  )
  t.same(
    readGguf(file, true).numbers('tokenizer.ggml.token_type'),
    readGguf(ggufFile('gsm-3m.vocab'), true).numbers('tokenizer.ggml.token_type'),
  )
})

t.test('what must not be written is refused before work, with the cure', async (t) => {
  const out = t.testdir({ 'there.gguf': 'old' })
  const folder = goldenFolder('llama')
  using model = await loadModel(folder, { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  const gguf = { format: 'gguf' } as const
  await t.rejects(adapter.merge(join(out, 'x'), gguf), { code: 'E_ARGUMENT', message: /does not end in \.gguf/ })
  await t.rejects(adapter.merge(join(out, 'there.gguf'), gguf), { code: 'E_ARGUMENT', message: /is there already/ })
  t.equal(readFileSync(join(out, 'there.gguf'), 'utf8'), 'old')
  await t.rejects(adapter.merge(join(out, 'y'), { type: 'q8_0' }), { code: 'E_CONFIG', message: /for format 'gguf'/ })
  await t.rejects(adapter.merge(join(out, 'z.gguf'), { ...gguf, type: 'q2_k' as 'f16' }), { code: 'E_CONFIG' })
  await t.rejects(exportAdapter(folder, join(folder, 'adapter'), join(out, 'there.gguf')), { code: 'E_ARGUMENT' })
  await t.rejects(exportAdapter(folder, folder, join(out, 'a.gguf')), {
    code: 'E_MISSING',
    message: /is a model, not an adapter/,
  })
  await adapter.merge(join(out, 'there.gguf'), { ...gguf, overwrite: true })
  using loaded = await loadModel(join(out, 'there.gguf'), { threads: 1 })
  using own = loaded.createAdapter({ rank: 2 })
  await t.rejects(own.merge(join(out, 'folder')), { code: 'E_UNSUPPORTED', message: /--format gguf/ })
  await t.rejects(own.merge(join(out, 'there.gguf'), { ...gguf, overwrite: true }), {
    code: 'E_ARGUMENT',
    message: /read and written at once/,
  })
  const odd = join(out, 'odd')
  cpSync('assets/gsm-3m', odd, { recursive: true })
  const path = join(odd, 'tokenizer.json')
  const json = JSON.parse(readFileSync(path, 'utf8'))
  writeFileSync(
    path,
    JSON.stringify({ ...json, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, use_regex: true } }),
  )
  using strange = await loadModel(odd, { threads: 1 })
  using over = strange.createAdapter({ rank: 2 })
  await t.rejects(over.merge(join(out, 'odd.gguf'), gguf), { code: 'E_UNSUPPORTED', message: /no name in llama\.cpp/ })
})
