/** config.json with absurd values: refused by field, before a single weight is touched, and never by running out of memory. */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { loadModel } from '../../src/model/load.js'
import { quantizeModel } from '../../src/model/quantize.js'
import { estimate } from '../../src/training/estimate.js'
import { BrokenFolder } from '../support/broken-folder.js'
import { temporaryFolder } from '../support/train.js'

const huge = 1e9

/** A change of the config, the code, and what the message must hold beside the file's name. */
const cases: [object, string, RegExp][] = [
  [{ model_type: 'falcon' }, 'E_UNSUPPORTED', /falcon.*llama.*mistral.*qwen2.*qwen3/],
  [{ model_type: undefined }, 'E_CONFIG', /model_type/],
  [{ model_type: 7 }, 'E_CONFIG', /model_type is 7/],
  [{ hidden_size: -128 }, 'E_CONFIG', /hidden_size is -128, expected a whole number/],
  [{ hidden_size: 0 }, 'E_CONFIG', /hidden_size is 0/],
  [{ hidden_size: '128' }, 'E_CONFIG', /hidden_size is "128"/],
  [{ hidden_size: 128.5 }, 'E_CONFIG', /hidden_size is 128.5/],
  [{ hidden_size: undefined }, 'E_CONFIG', /hidden_size is nothing/],
  [{ hidden_size: 1e12 }, 'E_CONFIG', /hidden_size is 1000000000000/],
  [{ hidden_size: [128] }, 'E_CONFIG', /hidden_size/],
  [{ num_hidden_layers: 0 }, 'E_CONFIG', /num_hidden_layers is 0/],
  [{ num_hidden_layers: huge }, 'E_CONFIG', /num_hidden_layers is 1000000000, expected a whole number from 1 to 4096/],
  [{ num_hidden_layers: 4000 }, 'E_MISSING', /lacks \d+ tensors/],
  [{ num_attention_heads: 3, head_dim: undefined }, 'E_CONFIG', /hidden_size.*num_attention_heads|num_key_value_heads/],
  [{ num_attention_heads: huge }, 'E_CONFIG', /num_attention_heads is 1000000000/],
  [{ num_attention_heads: null }, 'E_CONFIG', /num_attention_heads is null/],
  [{ num_key_value_heads: 3 }, 'E_CONFIG', /num_key_value_heads is 3, expected a divisor/],
  [{ num_key_value_heads: 0 }, 'E_CONFIG', /num_key_value_heads is 0/],
  [{ head_dim: 15 }, 'E_CONFIG', /head_dim is 15, expected an even number/],
  [{ head_dim: huge }, 'E_CONFIG', /head_dim is 1000000000, expected a whole number from 2 to 256/],
  [{ hidden_size: 2 ** 30, head_dim: undefined }, 'E_CONFIG', /head_dim/],
  [{ intermediate_size: -1 }, 'E_CONFIG', /intermediate_size is -1/],
  [{ intermediate_size: 2 ** 31 }, 'E_CONFIG', /intermediate_size is 2147483648/],
  [{ vocab_size: 0 }, 'E_CONFIG', /vocab_size is 0/],
  [{ vocab_size: huge }, 'E_SHAPE', /embed_tokens.*expected \[1000000000/],
  [{ max_position_embeddings: 0 }, 'E_CONFIG', /max_position_embeddings is 0/],
  [{ max_position_embeddings: 1e15 }, 'E_CONFIG', /max_position_embeddings/],
  [{ rms_norm_eps: 0 }, 'E_CONFIG', /rms_norm_eps is 0/],
  [{ rms_norm_eps: '1e-5' }, 'E_CONFIG', /rms_norm_eps is "1e-5"/],
  [{ hidden_act: 'gelu' }, 'E_CONFIG', /hidden_act is "gelu"/],
  [{ attention_bias: 'yes' }, 'E_CONFIG', /attention_bias is "yes", expected true or false/],
  [{ tie_word_embeddings: 1 }, 'E_CONFIG', /tie_word_embeddings is 1/],
  [{ rope_parameters: 5 }, 'E_CONFIG', /rope_parameters is 5, expected an object/],
  [
    { rope_parameters: { rope_type: 'su', rope_theta: 1e4 } },
    'E_UNSUPPORTED',
    /'su'.*default, linear, dynamic, llama3, yarn/,
  ],
  [{ rope_parameters: { rope_type: 'yarn', rope_theta: 1e4 } }, 'E_CONFIG', /rope_parameters\.factor is nothing/],
  [{ attn_logit_softcapping: 50 }, 'E_UNSUPPORTED', /attn_logit_softcapping is 50/],
  [{ rope_parameters: { rope_type: 'default', rope_theta: -1 } }, 'E_CONFIG', /rope_theta is -1/],
  [{ rope_parameters: { rope_type: 'llama3', rope_theta: 1e4 } }, 'E_CONFIG', /rope_parameters\.factor/],
  [{ rope_parameters: { rope_type: 'linear', rope_theta: 1e4, factor: 0 } }, 'E_CONFIG', /factor is 0/],
  [{ rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } }, 'E_UNSUPPORTED', /partial_rotary_factor/],
  [{ dtype: 'float8_e4m3fn' }, 'E_CONFIG', /dtype is "float8_e4m3fn", expected float32, float16, bfloat16/],
  [{ eos_token_id: 'x' }, 'E_CONFIG', /eos_token_id is "x"/],
  [{ eos_token_id: [0.5] }, 'E_CONFIG', /eos_token_id/],
  [{ quantization_config: { quant_method: 'hqq', bits: 4 } }, 'E_UNSUPPORTED', /'hqq'.*bitsandbytes/],
  [{ quantization_config: 'nf4' }, 'E_CONFIG', /quantization_config is "nf4"/],
  [{ quantization_config: { load_in_4bit: true, load_in_8bit: true } }, 'E_CONFIG', /exactly one of/],
  [{ quantization_config: { load_in_4bit: true, bnb_4bit_quant_type: 'nf3' } }, 'E_CONFIG', /"nf3"/],
  [
    { quantization_config: { load_in_4bit: true, bnb_4bit_quant_storage: 'bfloat16' } },
    'E_UNSUPPORTED',
    /bnb_4bit_quant_storage/,
  ],
]

t.test('one absurd field at a time', async (t) => {
  const folder = new BrokenFolder()
  for (const [changes, code, message] of cases) {
    folder.config(changes)
    const what = JSON.stringify(changes, (_, value) => (value === undefined ? 'absent' : value))
    await t.rejects(loadModel(folder.path), { name: 'FedloraError', code, message }, what)
    const details = code === 'E_CONFIG' ? { details: { file: /config\.json$/ } } : {}
    await t.rejects(estimate({ model: folder.path }), { code, message, ...details }, `estimate: ${what}`)
  }
  folder.config({})
  using model = await loadModel(folder.path)
  t.equal(model.linears.length, 14, 'canary: as it was, it loads')
  folder.remove()
})

t.test('other families', async (t) => {
  const qwen = new BrokenFolder('qwen2')
  const layer_types = ['full_attention']
  qwen.config({ layer_types })
  await t.rejects(loadModel(qwen.path), {
    code: 'E_CONFIG',
    message: /layer_types.*one entry for each of the 2 layers/,
  })
  qwen.config({ layer_types: ['full_attention', 'linear_attention'] })
  await t.rejects(loadModel(qwen.path), { code: 'E_CONFIG', message: /layer_types/ })
  qwen.remove()
  const mistral = new BrokenFolder('mistral')
  for (const sliding_window of [-3, 0, '7', 1e15]) {
    mistral.config({ sliding_window })
    await t.rejects(loadModel(mistral.path), { code: 'E_CONFIG', message: /sliding_window/ }, `${sliding_window}`)
  }
  mistral.remove()
})

t.test('what is no config at all', async (t) => {
  const folder = new BrokenFolder()
  const path = folder.file('config.json')
  const texts: [string, RegExp][] = [
    ['', /not JSON/],
    ['{"model_type": "llama",', /not JSON/],
    ['[]', /an array, expected an object/],
    ['null', /null, expected an object/],
    ['"llama"', /expected an object/],
    [`${'['.repeat(200_000)}`, /not JSON/],
    [Buffer.from([0xff, 0xfe, 0x00]).toString('latin1'), /not JSON/],
  ]
  for (const [text, message] of texts) {
    writeFileSync(path, text)
    await t.rejects(loadModel(folder.path), { code: 'E_FORMAT', message }, text.slice(0, 20))
    await t.rejects(quantizeModel(folder.path, temporaryFolder('never')), { code: 'E_FORMAT' })
  }
  folder.config({})
  folder.write('generation_config.json', '{"eos_token_id": "stop"}')
  await t.rejects(loadModel(folder.path), { code: 'E_CONFIG', message: /generation_config\.json: eos_token_id/ })
  folder.write('generation_config.json', 'no')
  await t.rejects(loadModel(folder.path), { code: 'E_FORMAT', message: /generation_config\.json/ })
  folder.remove()
})
