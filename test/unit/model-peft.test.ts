/** PEFT's adapter_config.json: what is honoured, and what is refused by name. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { linearModules } from '../../src/model/config.js'
import { float, parseKeepingNumbers, stringifyKeepingNumbers } from '../../src/model/json-numbers.js'
import { refuseForeignFolder } from '../../src/model/peft/folder.js'
import { parsePeftConfig, peftConfig } from '../../src/model/peft/methods.js'
import { readModelConfig } from '../../src/model/read-config.js'
import { goldenFolder } from '../support/golden-model.js'

type Json = Record<string, unknown>

const names = { head: 'lm_head', embedding: 'model.embed_tokens' }
const linears = linearModules((await readModelConfig(goldenFolder('llama'))).description).map(({ module }) => module)
const modules = { linears, ...names }
const read = (path: string) =>
  JSON.parse(readFileSync(join(goldenFolder('llama'), path, 'adapter_config.json'), 'utf8')) as Json
const plain = read('adapter')
const parse = (changes: Json) => parsePeftConfig({ ...plain, ...changes }, 'adapter_config.json', modules)

t.test("PEFT's own folders", (t) => {
  const { config, targets } = parse({})
  t.match(config, { rank: 8, alpha: 16, dropout: 0, rsLora: false })
  t.same(targets, linears, 'in forward order, whatever the order of the list')
  t.equal(parsePeftConfig(read('peft/rslora'), 'c', modules).config.rsLora, true)
  t.same(parsePeftConfig(read('peft/pattern'), 'c', modules).config.rankPattern, {
    'layers.1.mlp.down_proj': 12,
    q_proj: 4,
  })
  t.end()
})

for (const [method, why] of [
  ['dora', /use_dora/],
  ['lora-bias', /bias = "all"/],
  ['ia3', /peft_type = "IA3"/],
  ['prompt', /PROMPT_TUNING/],
  ['prefix', /PREFIX_TUNING/],
  ['prefix-projection', /PREFIX_TUNING/],
  ['p-tuning-mlp', /P_TUNING/],
  ['p-tuning-lstm', /P_TUNING/],
] as const) {
  t.throws(() => parsePeftConfig(read(`peft/${method}`), 'c', modules), { code: 'E_UNSUPPORTED', message: why }, method)
}

t.test('every other variant is refused by the name of its field', (t) => {
  const variants: Json = {
    modules_to_save: ['lm_head'],
    lora_bias: true,
    layer_replication: [[0, 2]],
    trainable_token_indices: [1, 2],
    target_parameters: ['experts'],
    alora_invocation_tokens: [1],
    use_qalora: true,
    use_bdlora: { rank: 2 },
    arrow_config: { top_k: 3 },
    corda_config: { method: 'kpm' },
    loftq_config: { loftq_bits: 4 },
    megatron_config: { tensor: 1 },
    a_method_of_tomorrow: true,
  }
  for (const [field, value] of Object.entries(variants)) {
    t.throws(() => parse({ [field]: value }), { code: 'E_UNSUPPORTED', message: new RegExp(field) }, field)
  }
  t.same(parse({ fan_in_fan_out: true }), parse({}), 'which PEFT puts right by the class of each module')
  t.throws(() => parse({ fan_in_fan_out: 'yes' }), { code: 'E_CONFIG', message: /fan_in_fan_out/ })
  t.throws(() => parse({ init_lora_weights: 'pissa' }), { code: 'E_UNSUPPORTED', message: /base weights/ })
  t.throws(() => parse({ task_type: 'SEQ_CLS' }), {
    code: 'E_UNSUPPORTED',
    message: /task_type = "SEQ_CLS".*CAUSAL_LM/,
  })
  for (const task_type of [null, undefined]) t.doesNotThrow(() => parse({ task_type }))
  t.throws(() => parse({ peft_type: undefined }), { code: 'E_UNSUPPORTED', message: /peft_type = null .*only LORA/ })
  t.throws(() => parse({ use_dora: true }), { message: /use_dora = true .*DoRA learns a magnitude/ })
  t.throws(() => parse({ exclude_modules: 7 }), { code: 'E_UNSUPPORTED', message: /exclude_modules = 7 .*a list or a/ })
  t.throws(() => parse({ target_modules: 7 }), {
    code: 'E_CONFIG',
    message: /target_modules is 7, expected a string or a list/,
  })
  t.throws(() => parse({ layers_to_transform: [0.5], target_modules: ['q_proj'] }), {
    code: 'E_CONFIG',
    message: /layer numbers/,
  })
  t.throws(() => parse({ layers_to_transform: [0], layers_pattern: [1], target_modules: ['q_proj'] }), {
    code: 'E_CONFIG',
    message: /layers_pattern .*a name or a list of names/,
  })
  t.throws(() => parse({ lora_alpha: 0 }), { code: 'E_CONFIG', message: /lora_alpha is 0/ })
  t.throws(() => parse({ lora_dropout: -1 }), { code: 'E_CONFIG', message: /lora_dropout is -1/ })
  t.throws(() => parse({ rank_pattern: { q_proj: 0 } }), { code: 'E_CONFIG', message: /rank_pattern\.q_proj is 0/ })
  t.throws(() => parse({ alpha_pattern: [] }), {
    code: 'E_CONFIG',
    message: /alpha_pattern is \[\], expected an object/,
  })
  t.match(parse({ r: undefined, lora_alpha: null, lora_dropout: null }).config, { rank: 8, alpha: 8, dropout: 0 })
  t.equal(parse({ lora_dropout: 0.25 }).config.dropout, 0.25)
  for (const init_lora_weights of [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal']) {
    t.doesNotThrow(() => parse({ init_lora_weights }), `${init_lora_weights} leaves the base as it is`)
  }
  t.throws(() => parse({ target_modules: ['q_proj', 'lm_head'] }), { code: 'E_UNSUPPORTED', message: /lm_head/ })
  t.throws(() => parse({ target_modules: ['c_attn'] }), { code: 'E_MISSING' })
  t.throws(() => parse({ r: 0 }), { code: 'E_CONFIG', message: /r is 0/ })
  t.doesNotThrow(() => parse({ a_method_of_tomorrow: null, another: false }), 'neutral fields of other releases')
  t.end()
})

t.test('targets: expressions, exclusions, layers', (t) => {
  t.equal(parse({ target_modules: 'all-linear' }).targets.length, 14)
  t.same(parse({ target_modules: '.*\\.(?P<layer>0)\\..*q_proj' }).targets, ['model.layers.0.self_attn.q_proj'])
  t.equal(parse({ target_modules: null }).targets.length, 4, "PEFT's default: q_proj and v_proj")
  t.equal(parse({ exclude_modules: ['q_proj', 'layers.1.mlp.up_proj'] }).targets.length, 11)
  t.equal(parse({ exclude_modules: '.*mlp.*' }).targets.length, 8)
  const endings = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
  const layers = (changes: Json) => parse({ target_modules: endings, ...changes }).targets.length
  t.equal(layers({ layers_to_transform: [1] }), 7)
  t.equal(layers({ layers_to_transform: 0, layers_pattern: 'layers' }), 7)
  t.equal(layers({ layers_to_transform: [1], layers_pattern: ['h', 'lay.rs'] }), 7, 'each a piece of an expression')
  t.equal(layers({ layers_to_transform: [], layers_pattern: 'h' }), 14, 'no layers: all')
  t.throws(() => layers({ layers_to_transform: 0, layers_pattern: 'h' }), { code: 'E_CONFIG' })
  t.equal(parse({ layers_to_transform: [1] }).targets.length, 14, 'whole names are meant in whatever layer they are')
  const whole = ['model.layers.0.mlp.up_proj', 'q_proj']
  t.same(parse({ target_modules: whole, layers_to_transform: [1] }).targets, [
    'model.layers.0.mlp.up_proj',
    'model.layers.1.self_attn.q_proj',
  ])
  t.throws(() => parse({ layers_pattern: 'layers' }), { code: 'E_CONFIG', message: /layers_to_transform/ })
  t.throws(() => parse({ target_modules: '.*q_proj', layers_to_transform: [0] }), {
    code: 'E_CONFIG',
    message: /one text/,
  })
  t.end()
})

t.test('expressions are those of Python', (t) => {
  const count = (changes: Json) => parse(changes).targets.length
  t.equal(count({ target_modules: '.*q_proj\\Z' }), 2)
  t.equal(count({ target_modules: 'model\\.layers\\.\\d{,2}\\..*[]q]_proj' }), 2)
  t.equal(count({ target_modules: '(?i)MODEL.*Q_PROJ' }), 2)
  t.equal(count({ target_modules: '.*\\.(?P<a>q|v)_(?#which)proj' }), 4)
  t.equal(count({ exclude_modules: '.*(?P<block>layers\\.0)\\..*' }), 7)
  t.equal(count({ target_modules: '.*', exclude_modules: 'lm_head|.*embed_tokens' }), 14)
  t.equal(parse({ rank_pattern: { 'q_proj\\Z': 3 } }).config.rank, 8)
  const refused = (changes: Json, code: string, message: RegExp) => t.throws(() => parse(changes), { code, message })
  refused({ target_modules: '.*(?<a>q)_proj' }, 'E_CONFIG', /adapter_config\.json: target_modules.*\(\?P<name>/)
  refused({ exclude_modules: '\\p{L}' }, 'E_CONFIG', /adapter_config\.json: exclude_modules.*bad escape/)
  refused({ rank_pattern: { 'q_proj[': 3 } }, 'E_CONFIG', /adapter_config\.json: rank_pattern/)
  refused({ alpha_pattern: { 'a**': 3 } }, 'E_CONFIG', /adapter_config\.json: alpha_pattern/)
  refused({ target_modules: 'q_proj' }, 'E_CONFIG', /target_modules/)
  refused({ target_modules: '.*' }, 'E_UNSUPPORTED', /lm_head/)
  refused({ target_modules: '.*(q_proj|embed_tokens)' }, 'E_UNSUPPORTED', /embed_tokens/)
  refused(
    { target_modules: ['q_proj', 'head'], exclude_modules: ['lm_head', 'q_proj', 'v_proj'] },
    'E_CONFIG',
    /not excluded/,
  )
  t.equal(count({ target_modules: ['q_proj', 'lm_head'], exclude_modules: ['lm_head'] }), 2)
  t.end()
})

t.test('what is written reads back the same, with the fields PEFT expects', (t) => {
  const { config, targets } = parse({ lora_dropout: 0.1, use_rslora: true, rank_pattern: { q_proj: 4 } })
  const written = peftConfig(config, targets, { name: '/models/base', revision: null, transposed: false })
  const again = parsePeftConfig(JSON.parse(stringifyKeepingNumbers(written)), 'c', modules)
  t.same(again, { config, targets })
  t.same(Object.keys(written), Object.keys(written).sort(), 'in the order of names, as PEFT has them')
  const adapter = parse({})
  const ours = peftConfig(adapter.config, adapter.targets, { name: 'base', revision: null, transposed: false })
  const theirs = Object.entries(plain).filter(([field, value]) => field in ours || value !== null)
  t.same(
    JSON.parse(stringifyKeepingNumbers(ours)),
    { ...Object.fromEntries(theirs), target_modules: linears },
    "PEFT's own file, value by value; the order of the list means nothing",
  )
  t.equal(peftConfig(config, targets, { name: 'org/model', revision: 'v1', transposed: false }).revision, 'v1')
  t.equal(peftConfig(config, targets, { name: 'gpt2', revision: null, transposed: true }).fan_in_fan_out, true)
  const foreign = Object.keys(written).filter((field) => !(field in plain))
  t.same(foreign, [], 'no field that PEFT does not know')
  t.end()
})

t.test('numbers keep their decimal points, as Python wants them', (t) => {
  const text = '{\n  "a": 6.0,\n  "b": [\n    1e-05,\n    -2,\n    1.50\n  ],\n  "c": "1.0 \\" 2.0",\n  "d": 3\n}\n'
  t.equal(stringifyKeepingNumbers(parseKeepingNumbers(text)), text)
  t.equal(stringifyKeepingNumbers({ x: float(0), y: float(0.1), z: 8 }), '{\n  "x": 0.0,\n  "y": 0.1,\n  "z": 8\n}\n')
  t.end()
})

t.test('a folder is saved over by an adapter of its own method alone', async (t) => {
  const folder = t.testdir()
  const config = join(folder, 'adapter_config.json')
  await refuseForeignFolder(folder, 'lora')
  writeFileSync(config, JSON.stringify(plain))
  await refuseForeignFolder(folder, 'lora')
  for (const [text, message] of [
    ['{"peft_type":"IA3"}', /another method \(IA3\), which would be lost/],
    ['{', /another method \(unreadable\)/],
    ['{}', /another method \(undefined\)/],
  ] as const) {
    writeFileSync(config, text)
    await t.rejects(refuseForeignFolder(folder, 'lora'), { code: 'E_ARGUMENT', message })
  }
})
