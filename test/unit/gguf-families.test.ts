/** Every family as GGUF: against the files of llama.cpp's converter, read back, what llama.cpp cannot say and what it computes otherwise. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Json } from '../../src/files/json.js'
import { GgufMetadata, readGguf } from '../../src/gguf/metadata.js'
import { exportAdapter, loadModel } from '../../src/index.js'
import { parseModelConfig } from '../../src/model/config.js'
import { architectureOf } from '../../src/model/gguf/architectures.js'
import { modelFields, nameFields } from '../../src/model/gguf/fields.js'
import { checkSaid, notesOf } from '../../src/model/gguf/limits.js'
import { checkMergeOutput, mergeOptionsSchema } from '../../src/model/merge.js'
import { ggufFile, takeApart } from '../support/gguf.js'
import { describedFamilies, families, goldenFolder, maxError } from '../support/golden-model.js'
import { variantFolder } from '../support/variant-folder.js'

const row = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 200))
const tensorsOf = (path: string) => new Map(takeApart(path).tensors.map(({ name, data }) => [name, data]))

/** Keys of the converter's that change nothing where ours are silent: a type 'none', betas that llama.cpp has anyway, Phi-3's unscaled context. */
const saysNothing = /scaling\.(type|yarn_beta_(fast|slow)|original_context_length)$/
/** Of a config without seq_length the converter takes the hidden size. */
const guessed = 'bloom.context_length'

/** Made by llama.cpp's converter of the same folders. */
const converted = [
  'llama',
  'llama-linear',
  'llama-yarn',
  'llama3-rope',
  'mistral',
  'qwen3',
  'gemma',
  'gemma2',
  'gemma3',
  'granite',
  'olmo2',
  'phi3',
  'phi3-longrope',
  'starcoder2',
  'gpt-neox',
  'gpt2',
  'bloom',
]
for (const family of converted) {
  t.test(`${family}: the bytes, names and keys of llama.cpp's converter`, async (t) => {
    const file = join(t.testdir(), 'x.gguf')
    using model = await loadModel(goldenFolder(family), { threads: 1 })
    using adapter = model.createAdapter({ rank: 2 }) // B is zero: the base itself
    await adapter.merge(file, { format: 'gguf', type: 'q4_0' })
    const want = takeApart(ggufFile(`${family}.q4_0`)).tensors
    const got = tensorsOf(file)
    t.same([...got.keys()].sort(), want.map(({ name }) => name).sort())
    for (const { name, data } of want) {
      const ours = got.get(name)!
      if (!/^rope_f/.test(name) && !ours.equals(data)) t.fail(name) // rope factors are computed on each side
    }
    const shapes = (path: string) => readGguf(path).tensors.map(({ name, type, shape }) => [name, type, shape])
    const sorted = (path: string) => shapes(path).sort(([a], [b]) => (a! < b! ? -1 : 1))
    t.same(sorted(file), sorted(ggufFile(`${family}.q4_0`)))
    const [theirs, ours] = [readGguf(ggufFile(`${family}.q4_0`)), readGguf(file)]
    const architecture = theirs.text('general.architecture')!
    t.equal(ours.text('general.architecture'), architecture)
    for (const name of theirs.names.filter((name) => name.startsWith(`${architecture}.`))) {
      if ((saysNothing.test(name) && !ours.has(name)) || name === guessed) continue
      if (name.endsWith('use_parallel_residual')) t.equal(ours.flag(name), theirs.flag(name), name)
      else if (name.endsWith('scaling.type')) t.equal(ours.text(name), theirs.text(name), name)
      else if (!(Math.abs(ours.number(name)! - theirs.number(name)!) <= 1e-6 * Math.abs(theirs.number(name)!)))
        t.equal(ours.number(name), theirs.number(name), name)
    }
  })
}

const written = [...families, ...describedFamilies].filter((family) => !['opt', 'smollm3'].includes(family))
for (const family of written) {
  t.test(`${family}: an adapter merged in, read back, and again out of the file`, async (t) => {
    const out = t.testdir()
    using model = await loadModel(goldenFolder(family), { threads: 1 })
    using adapter = model.createAdapter({ rank: 3, targetModules: 'all-linear' })
    adapter.setVector(adapter.vector().map((_, i) => 0.05 * Math.sin(i)))
    const want = (await model.logits({ inputIds: [row] }, { adapter })).data
    const file = join(out, 'merged.gguf')
    await adapter.merge(file, { format: 'gguf', type: 'f32' })
    using merged = await loadModel(file, { threads: 1 })
    const error = maxError((await merged.logits({ inputIds: [row] })).data, want)
    t.ok(error <= 2e-5, String(error)) // of logits of a spread of 1: (W + B·A)·x for W·x + B·(A·x) in float32
    using none = merged.createAdapter({ rank: 2 })
    await none.merge(join(out, 'again.gguf'), { format: 'gguf', type: 'f32' })
    const [first, second] = [tensorsOf(file), tensorsOf(join(out, 'again.gguf'))]
    for (const [name, data] of first) if (!second.get(name)!.equals(data)) t.fail(name)
  })
}

t.test("GPT-2 out of a file: its adapters say of the base what PEFT's say of the folder", async (t) => {
  using model = await loadModel(ggufFile('gpt2.q4_0'), { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  await adapter.save(t.testdir())
  const config = JSON.parse(readFileSync(join(t.testdirName, 'adapter_config.json'), 'utf8')) as Json
  t.equal(config.fan_in_fan_out, true)
})

t.test('an adapter alone has its rows where the file has those of the matrix', async (t) => {
  const family = 'gpt-neox'
  const folder = goldenFolder(family)
  const out = t.testdir()
  using model = await loadModel(folder, { threads: 1 })
  using adapter = model.createAdapter({ rank: 3, alpha: 3, targetModules: 'all-linear' })
  adapter.setVector(adapter.vector().map((_, i) => Math.sin(i)))
  await adapter.save(join(out, 'adapter'))
  await exportAdapter(folder, join(out, 'adapter'), join(out, 'a.gguf'))
  const module = 'base_model.model.gpt_neox.layers.1.attention.query_key_value'
  const own = adapter.tensors().get(`${module}.lora_B.weight`)!.data
  const bytes = tensorsOf(join(out, 'a.gguf')).get('blk.1.attn_qkv.weight.lora_b')!
  const file = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 4 * own.length))
  const { heads, headDim } = model.config
  const wrong = Array.from({ length: 3 * heads * headDim }, (_, to) => {
    const [part, head, k] = [Math.floor(to / (heads * headDim)), Math.floor(to / headDim) % heads, to % headDim]
    const from = (head * 3 + part) * headDim + k
    return [0, 1, 2].some((r) => file[to * 3 + r] !== own[from * 3 + r])
  })
  t.equal(wrong.filter(Boolean).length, 0)
})

/** A golden config with other fields, judged as a file of it would be. */
function judge(family: string, changes: Json = {}) {
  const raw = JSON.parse(readFileSync(join(goldenFolder(family), 'config.json'), 'utf8')) as Json
  const config = parseModelConfig({ ...raw, ...changes })
  const architecture = architectureOf(config.family)
  const keys = modelFields(config, architecture)
  checkSaid(config, architecture, keys)
  const metadata = new GgufMetadata('x', { fields: keys.fields, tensors: [] })
  return { metadata, vectors: keys.vectors, notes: notesOf(config, architecture) }
}
const rope = (type: string, more: Json = {}) => ({
  rope_scaling: null,
  rope_parameters: { rope_type: type, rope_theta: 10000, factor: 4, original_max_position_embeddings: 64, ...more },
})
const pairs = new Array(24).fill(2)
const llama3 = rope('llama3', { low_freq_factor: 1, high_freq_factor: 4 })

t.test('what llama.cpp cannot say is refused by name, before a file is made', (t) => {
  for (const [family, changes, message] of [
    ['gemma', { attention_bias: true }, /'gemma' has no bias of 'model\.layers\.0\.self_attn\.o_proj'/],
    ['qwen3', { attention_bias: true }, /'qwen3' has no bias of '.*o_proj'/],
    ['smollm3', { no_rope_layers: [1, 1], mlp_bias: true }, /'smollm3' has no bias of '.*gate_proj'/],
    ['starcoder2', { use_bias: false }, /'starcoder2' needs a bias of '.*q_proj'/],
    ['gpt-neox', { attention_bias: false }, /'gptneox' needs a bias of/],
    [
      'gemma2',
      { query_pre_attn_scalar: 100 },
      /'gemma2' cannot say this model's attentionScale, 0\.1: it would take 0\.1443/,
    ],
    ['gemma2', { attn_logit_softcapping: null }, /attentionSoftCap, 0: it would take 50/],
    ['gemma2', { tie_word_embeddings: false }, /'gemma2' has no head of its own/],
    ['olmo2', { head_dim: 40 }, /'olmo2' has heads that make up the hidden size, not 4 × 40 of 128/],
    ['phi', { hidden_act: 'relu' }, /'phi2' cannot say this model's activation, "relu": it would take "gelu_tanh"/],
    ['gpt-neox', { hidden_act: 'gelu_new' }, /activation, "gelu_tanh": it would take "gelu"/],
    ['gpt2', { scale_attn_weights: false }, /attentionScale/],
    ['smollm3', { no_rope_layers: [1, 0] }, /layers\[1\]\.attention\.rope/],
    [
      'qwen2',
      llama3,
      /no rope type 'llama3' for its architecture 'qwen2', only default, linear, dynamic, yarn\. Merge/,
    ],
    ['gemma', rope('longrope', { long_factor: pairs, short_factor: pairs }), /no rope type 'longrope'/],
    ['llama', rope('yarn', { beta_slow: 0.1 }), /'llama' cannot say .*inverseFrequencies\[\d+\]/],
    ['llama', rope('yarn', { truncate: false }), /'llama' cannot say .*inverseFrequencies\[\d+\]/],
    [
      'qwen2',
      { use_sliding_window: true, sliding_window: 8, layer_types: ['full_attention', 'sliding_attention'] },
      /layers\[1\]\.attention\.window, 8: it would take 0/,
    ],
    [
      'gemma3',
      {
        rope_parameters: {
          full_attention: { rope_type: 'default', rope_theta: 1e6 },
          sliding_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e4 },
        },
      },
      /inverseFrequencies/,
    ],
  ] as [string, Json, RegExp][]) {
    t.throws(() => judge(family, changes), { code: 'E_UNSUPPORTED', message }, `${family} ${JSON.stringify(changes)}`)
  }
  t.throws(() => judge('opt'), {
    code: 'E_UNSUPPORTED',
    message: /'opt' is not written.*no architecture.*Merge into a folder/,
  })
  t.end()
})

t.test('what llama.cpp says in its own way', (t) => {
  const sharper = judge('llama', rope('yarn', { attention_factor: 2 })).metadata
  const factor = sharper.number('llama.rope.scaling.attn_factor')!
  t.ok(Math.abs(factor - 2 / (1 + 0.1 * Math.log(4))) < 1e-9)
  t.equal(judge('llama', rope('yarn')).metadata.has('llama.rope.scaling.attn_factor'), false)
  t.ok(judge('llama', llama3).vectors.has('rope_freqs.weight'))
  t.ok(judge('granite', llama3).vectors.has('rope_freqs.weight'))
  const { metadata } = judge('ministral3')
  t.match(metadata.number('mistral3.rope.scaling.yarn_log_multiplier'), 1)
  t.equal(metadata.number('mistral3.attention.temperature_scale'), 0.1)
  const pattern = judge('gemma3', { layer_types: ['full_attention', 'sliding_attention'] }).metadata
  t.same(pattern.flags('gemma3.attention.sliding_window_pattern'), [false, true])
  const usual = judge('gemma3', { layer_types: ['sliding_attention', 'sliding_attention'] }).metadata
  t.notOk(usual.has('gemma3.attention.sliding_window_pattern'), 'llama.cpp goes by turn itself')
  const none = judge('gemma2', { sliding_window: null, layer_types: null }).metadata
  t.same(none.flags('gemma2.attention.sliding_window_pattern'), [false, false], 'it would take a window of 4096')
  t.notOk(none.has('gemma2.attention.sliding_window'))
  const windowed = judge('qwen2', {
    use_sliding_window: true,
    sliding_window: 8,
    layer_types: null,
    max_window_layers: 0,
  })
  t.equal(windowed.metadata.whole('qwen2.attention.sliding_window'), 8)
  t.match(windowed.notes, [/window of 8 tokens/])
  t.match(judge('llama', rope('dynamic')).notes, [/does not scale frequencies/])
  t.match(judge('gpt-neox').notes, [/tanh form/])
  t.same(judge('gemma2').notes, [])
  t.end()
})

t.test('the part of a head that turns comes back whole, whatever it is of the head', (t) => {
  for (const [headDim, rotated] of [
    [44, 30],
    [46, 26],
    [22, 6],
    [22, 22],
  ] as const) {
    const rope_parameters = { rope_type: 'default', rope_theta: 1e4, partial_rotary_factor: (rotated + 0.1) / headDim }
    const sizes = { hidden_size: 4 * headDim, num_attention_heads: 4, num_key_value_heads: 4 }
    const full = rotated === headDim ? { ...rope_parameters, partial_rotary_factor: 1 } : rope_parameters
    const { metadata } = judge('phi', { ...sizes, rope_parameters: full })
    t.equal(metadata.whole('phi2.rope.dimension_count'), rotated)
  }
  t.end()
})

for (const [family, head] of [
  ['olmo2', 'lm_head.weight'],
  ['phi', 'lm_head.weight'],
  ['gpt-neox', 'embed_out'],
] as const) {
  t.test(`${family}: a head that is the embedding is written, as llama.cpp asks`, async (t) => {
    const folder = variantFolder({ family, set: { tie_word_embeddings: true }, unset: [], tensors: [['drop', head]] })
    const file = join(t.testdir(), 'x.gguf')
    using model = await loadModel(folder, { threads: 1 })
    using adapter = model.createAdapter({ rank: 2 })
    await adapter.merge(file, { format: 'gguf', type: 'f32' })
    const tensors = tensorsOf(file)
    t.ok(tensors.get('output.weight')?.equals(tensors.get('token_embd.weight')!))
    using again = await loadModel(file, { threads: 1 })
    const logits = async (one: typeof model) => (await one.logits({ inputIds: [row] })).data
    t.ok(maxError(await logits(again), await logits(model)) <= 1e-5)
  })
}

t.test('a model that no file could say is refused before its weights are read', async (t) => {
  const options = mergeOptionsSchema.parse({ format: 'gguf' })
  const config = (family: string, changes: Json) => {
    const raw = JSON.parse(readFileSync(join(goldenFolder(family), 'config.json'), 'utf8')) as Json
    return t.testdir({ 'config.json': JSON.stringify({ ...raw, ...changes }) })
  }
  for (const [family, changes, message] of [
    ['opt', {}, /'opt' is not written/],
    ['qwen3', { attention_bias: true }, /has no bias of/],
  ] as const) {
    const folder = config(family, changes)
    await t.rejects(checkMergeOutput(join(folder, 'x.gguf'), options, folder), { code: 'E_UNSUPPORTED', message })
  }
  const gemma = config('gemma', { tie_word_embeddings: false })
  t.ok(
    await checkMergeOutput(join(gemma, 'x.gguf'), options, gemma),
    'only its weights tell whether the head is its own',
  )
})

t.test('a name that says Phi-3 is left out where llama.cpp would not load the file for it', (t) => {
  const tokens = (list: string[]) => [
    { name: 'tokenizer.ggml.tokens', type: 'string' as const, list: true, value: list },
  ]
  const all = ['<unk>', '<s>', '</s>', '<|endoftext|>', 'a']
  const name = (...args: Parameters<typeof nameFields>) => nameFields(...args)[0]?.value
  t.equal(name('my-Phi-3-mini', tokens(all)), 'my-Phi-3-mini')
  t.equal(name('my-Phi-3-mini', tokens(all.slice(1))), undefined)
  t.equal(name('phi3', tokens(['a'])), undefined)
  t.equal(name('phi3'), 'phi3', 'without a tokenizer nothing is looked for')
  t.equal(name('Phi-4-mini', tokens(['a'])), 'Phi-4-mini')
  t.end()
})
