/** Every spelling of a checkpoint that a stranger may bring: the logits that transformers gives, or a refusal by name. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { loadPlanned, planModel } from '../../src/cli/open-model.js'
import type { Output } from '../../src/cli/output.js'
import { loadModel } from '../../src/model/load.js'
import { estimate } from '../../src/training/estimate.js'
import { maxError } from '../support/golden-model.js'
import { removeFolder, type Variant, variantFolder } from '../support/variant-folder.js'

const golden = JSON.parse(readFileSync('test/golden/checkpoints/variants.json', 'utf8')) as {
  ids: number[]
  variants: Variant[]
}

/** float32 logits of two layers of width 128: an eighth of the last of seven printed digits is far below, a wrong reading far above. */
const tolerance = 2e-5

/** Variants that are refused, with the code and what the message names. */
const refused: Record<string, [string, RegExp]> = {
  'untied by default, only the embedding stored': ['E_MISSING', /lm_head\.weight[\s\S]*tie_word_embeddings/],
  'untied by config, only the embedding stored': ['E_MISSING', /lm_head\.weight[\s\S]*tie_word_embeddings/],
  'untied by config, only the head stored': ['E_MISSING', /model\.embed_tokens\.weight/],
  'tied, neither stored': ['E_MISSING', /model\.embed_tokens\.weight/],
  'another prefix': ['E_MISSING', /without the prefix "language_model\."/],
  'the prefix of data parallel training': ['E_MISSING', /without the prefix "module\."/],
  'the prefix of torch.compile': ['E_MISSING', /without the prefix "_orig_mod\."/],
  'both spellings of a tensor': [
    'E_FORMAT',
    /"model\.norm\.weight" and "norm\.weight"|"norm\.weight" and "model\.norm/,
  ],
  'fewer layers than the config has': ['E_MISSING', /model\.layers\.2\.self_attn\.q_proj/],
  'a norm lacks': ['E_MISSING', /model\.layers\.1\.input_layernorm\.weight/],
  'biases lack': ['E_MISSING', /model\.layers\.0\.self_attn\.q_proj\.bias/],
  'the biases of qwen2 lack': ['E_MISSING', /model\.layers\.0\.self_attn\.q_proj\.bias/],
  'a table of more rows than vocab_size': ['E_SHAPE', /\[263, 128\], expected \[200, 128\]/],
  "a classifier's architecture, untied": ['E_MISSING', /lm_head\.weight/],
  'a rope type nobody knows': ['E_UNSUPPORTED', /rope type 'spiral'/],
  mrope: ['E_UNSUPPORTED', /rope type 'mrope'/],
  'rope_type null beside type': ['E_CONFIG', /rope_parameters\.rope_type is null/],
  'rope_theta null inside': ['E_CONFIG', /rope_parameters\.rope_theta is null/],
  'llama3 without a factor': ['E_CONFIG', /rope_scaling\.factor is nothing/],
  'linear without a factor': ['E_CONFIG', /rope_scaling\.factor is nothing/],
  'partial_rotary_factor of a half': ['E_UNSUPPORTED', /partial_rotary_factor 0\.5/],
  'rope by layer type': ['E_UNSUPPORTED', /rope_parameters\.full_attention/],
  'rope by layer type without layer types': ['E_UNSUPPORTED', /rope_parameters\.full_attention/],
  'head_dim null, qwen3': ['E_SHAPE', /q_norm\.weight is \[64\], expected \[128\]/],
  'num_key_value_heads absent': ['E_SHAPE', /k_proj\.weight/],
  'num_key_value_heads null': ['E_SHAPE', /k_proj\.weight/],
  'num_key_value_heads absent, qwen2': ['E_CONFIG', /num_key_value_heads/],
  'hidden_act gelu': ['E_CONFIG', /hidden_act is "gelu"/],
  'mlp_bias without the tensors': ['E_MISSING', /mlp\.gate_proj\.bias/],
  'a config per layer': ['E_UNSUPPORTED', /per_layer_config/],
  'model_type absent': ['E_CONFIG', /model_type is nothing/],
  'model_type of another family': ['E_UNSUPPORTED', /'falcon'/],
  'layer_types of another length': ['E_CONFIG', /layer_types/],
  'layer_types nobody knows': ['E_CONFIG', /layer_types/],
  'dtype float64': ['E_CONFIG', /dtype is "float64"/],
  'quantised by no name': ['E_CONFIG', /quantization_config\.quant_method is nothing/],
  'quantised by gptq': ['E_FORMAT', /packed by GPTQ, and none is/],
  'quantised by awq': ['E_FORMAT', /packed by AWQ, and none is/],
  'quantised by fp8': ['E_FORMAT', /packed by FP8, and none is/],
  ...Object.fromEntries(
    ['fbgemm_fp8', 'compressed-tensors', 'hqq', 'eetq', 'aqlm', 'quanto', 'torchao', 'mxfp4'].map((method) => [
      `quantised by ${method}`,
      ['E_UNSUPPORTED', new RegExp(`'${method}'.*unquantised checkpoint`)] as [string, RegExp],
    ]),
  ),
}

/** Configs that transformers' type checks reject, read here as what they can only mean. */
const lenient = new Set([
  'tie_word_embeddings null, both stored',
  'head_dim null, qwen2',
  'rms_norm_eps an integer',
  'windows not used, layer_types sliding',
  'pad_token_id beyond the vocabulary',
])

async function lastLogits(folder: string): Promise<number[]> {
  using model = await loadModel(folder, { threads: 1 })
  const { data, vocab } = await model.logits({ inputIds: [golden.ids] })
  return [...data.subarray((golden.ids.length - 1) * vocab, (golden.ids.length - 1) * vocab + 8)]
}

for (const variant of golden.variants) {
  t.test(variant.name, async (t) => {
    const folder = variantFolder(variant)
    t.teardown(() => removeFolder(folder))
    const refusal = refused[variant.name]
    if (refusal !== undefined) {
      const [code, message] = refusal
      await t.rejects(loadModel(folder, { threads: 1 }), { name: 'FedloraError', code, message })
      await t.rejects(estimate({ model: folder }), { code }, 'the plan refuses it too')
      return
    }
    const got = await lastLogits(folder)
    t.ok((await estimate({ model: folder, threads: 1 })).weights > 0)
    if (lenient.has(variant.name)) return t.notOk(variant.logits)
    t.ok(variant.logits, 'what is neither refused nor lenient has logits to compare')
    const error = maxError(got, variant.logits ?? [])
    t.ok(error <= tolerance, `${error} ≤ ${tolerance}`)
  })
}

t.test('the tables are compared as they should be: a variant read as another is told', async (t) => {
  const find = (name: string) => golden.variants.find((variant) => variant.name === name)!
  const pairs = [
    ['qwen2: tied by config, another head stored', 'qwen2: tied by config, the same head stored'],
    ['rope_scaling beside rope_parameters', 'untouched'],
    ['layer_types beside mistral', 'use_sliding_window false'],
    ['llama3, the original context outside', 'llama3 without its original context'],
  ] as const
  for (const [one, other] of pairs) {
    const folder = variantFolder(find(one))
    t.ok(maxError(await lastLogits(folder), find(other).logits!) > 1e-2, `canary: ${one}`)
    removeFolder(folder)
  }
  const names = new Set(golden.variants.map(({ name }) => name))
  t.same(
    [...Object.keys(refused), ...lenient].filter((name) => !names.has(name)),
    [],
  )
})

t.test('a plan counts the head where the checkpoint has another one', async (t) => {
  const weights = async (name: string) => {
    const folder = variantFolder(golden.variants.find((variant) => variant.name === name)!)
    t.teardown(() => removeFolder(folder))
    const plan = await estimate({ model: folder, threads: 1 })
    using model = await loadModel(folder, { threads: 1 })
    const { linears, embedding, head, norms } = model.memory
    t.equal(plan.weights, linears + embedding + head + norms, name)
    return plan.weights
  }
  const tied = await weights('qwen3: tied by config, the same head stored')
  t.equal((await weights('qwen3: tied by config, another head stored')) - tied, 4 * 263 * 128)
})

t.test('tensors that the model has no use for are told by name', async (t) => {
  const unused = async (name: string) => {
    const folder = variantFolder(golden.variants.find((variant) => variant.name === name)!)
    t.teardown(() => removeFolder(folder))
    using model = await loadModel(folder, { threads: 1 })
    return [...model.unusedTensors].sort()
  }
  t.same(await unused('untouched'), [])
  t.same(await unused('rotary buffers of old checkpoints'), [])
  t.same(await unused('llama: names of the bare decoder'), [])
  t.same(await unused("another head beside the model's"), ['score.weight', 'value_head.weight'])
  t.same(await unused('biases that the config does not know'), ['lm_head.bias', 'model.layers.0.self_attn.q_proj.bias'])
  t.equal((await unused('layers beyond those of the config')).length, 9)
})

t.test('the command line tells of them', async (t) => {
  const notes = async (name: string) => {
    const folder = variantFolder(golden.variants.find((variant) => variant.name === name)!)
    t.teardown(() => removeFolder(folder))
    const lines: string[] = []
    const output = { phase() {}, status() {}, endProgress() {}, note: (line: string) => lines.push(line) }
    const model = await loadPlanned(await planModel({ model: folder }, {}), output as unknown as Output)
    model.dispose()
    return lines
  }
  t.same(await notes("another head beside the model's"), [
    'the model has no use for 2 of the stored tensors: score.weight, value_head.weight',
  ])
  t.same(await notes('untouched'), [])
})
