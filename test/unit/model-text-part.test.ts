/** The text part of a multimodal config: sizes that its config class supplies, what both parts share, and what is refused. */
import t from 'tap'
import { textPart } from '../../src/model/text-part.js'

/** Sizes of `CONFIG_MAPPING[type]()` of transformers 5.23.0. */
const ofTransformers = {
  gemma: '256000 3072 24576 28 16',
  gemma2: '256000 2304 9216 26 8',
  gemma3_text: '262208 2304 9216 26 8',
  granite: '32000 4096 11008 32 32',
  llama: '32000 4096 11008 32 32',
  ministral3: '131072 4096 14336 34 32',
  mistral: '32000 4096 14336 32 32',
  phi: '51200 2048 8192 24 32',
  phi3: '32064 3072 8192 32 32',
  qwen2: '151936 4096 22016 32 32',
  qwen3: '151936 4096 22016 32 32',
  smollm3: '128256 2048 11008 36 16',
}
const sizes = ['vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads'] as const

t.test('sizes that a text_config leaves out are those of its class', async (t) => {
  for (const [type, expected] of Object.entries(ofTransformers)) {
    const part = textPart({ model_type: 'whole', text_config: { model_type: type } }, 'config.json')
    t.equal(part?.of, 'whole')
    t.equal(sizes.map((size) => part?.config[size]).join(' '), expected, type)
  }
  const other = textPart({ text_config: { model_type: 'toString', hidden_size: 8 } }, 'config.json')
  t.same(other?.config, { model_type: 'toString', hidden_size: 8 }, 'a type that is not known supplies nothing')
})

t.test('what the whole says holds where the part says nothing', async (t) => {
  const text = { model_type: 'llama', eos_token_id: 7, num_hidden_layers: 2 }
  const whole = {
    model_type: 'idefics3',
    eos_token_id: 8,
    bos_token_id: 5,
    pad_token_id: 6,
    dtype: 'float16',
    torch_dtype: 'bfloat16',
    quantization_config: { bits: 4 },
    tie_word_embeddings: true,
    vision_config: {},
    hidden_size: 9,
  }
  const { config } = textPart({ ...whole, text_config: text }, 'config.json')!
  t.match(config, { eos_token_id: 7, tie_word_embeddings: true, num_hidden_layers: 2, hidden_size: 4096 })
  t.match(config, { bos_token_id: 5, pad_token_id: 6, dtype: 'float16', torch_dtype: 'bfloat16' })
  t.same(config.quantization_config, { bits: 4 })
  t.notOk('vision_config' in config)
  t.equal(textPart({ model_type: 'llama' }, 'config.json'), undefined, 'all of it is text')
  t.throws(() => textPart({ text_config: { hidden_size: 8 } }, 'a/config.json'), {
    code: 'E_CONFIG',
    message: /a\/config\.json: text_config has no model_type/,
  })
})
