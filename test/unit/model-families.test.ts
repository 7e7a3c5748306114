/** The whole description of every family: from a config with the fewest fields, and field by field where one changes it. */
import t from 'tap'
import { linearModules } from '../../src/model/config.js'
import type { BlockDescription, ModelDescription } from '../../src/native/binding.js'
import { describer, fewest } from '../support/described.js'

type Json = Record<string, unknown>

const describe = describer()

interface Changes {
  biases?: [attention: boolean, output: boolean, mlp: boolean]
  window?: number
  headDim?: number
  norms?: object
}

function layer(index: number, kvHeads: number, changes: Changes = {}): BlockDescription {
  const at = `model.layers.${index}`
  const { biases = [false, false, false], window = 0, headDim = 4, norms = {} } = changes
  const linear = (name: string, out: number, width: number, bias: boolean) => {
    return { module: `${at}.${name}`, shape: [out, width] as [number, number], bias }
  }
  return {
    norms: { beforeAttention: `${at}.input_layernorm`, beforeMlp: `${at}.post_attention_layernorm` },
    attention: {
      in: [
        linear('self_attn.q_proj', 32 * headDim, 128, biases[0]),
        linear('self_attn.k_proj', kvHeads * headDim, 128, biases[0]),
        linear('self_attn.v_proj', kvHeads * headDim, 128, biases[0]),
      ],
      out: linear('self_attn.o_proj', 128, 32 * headDim, biases[1]),
      ...norms,
      rope: 0,
      window,
    },
    mlp: {
      in: [linear('mlp.gate_proj', 96, 128, biases[2]), linear('mlp.up_proj', 96, 128, biases[2])],
      out: linear('mlp.down_proj', 128, 96, biases[2]),
    },
  }
}

function expected(family: string, changes: Partial<ModelDescription>, ofLayers: Changes = {}) {
  const description: ModelDescription = {
    family,
    vocabulary: 50,
    hidden: 128,
    heads: 32,
    kvHeads: 32,
    headDim: 4,
    intermediate: 96,
    maxPositions: 32768,
    norm: 'rms',
    normEpsilon: 1e-6,
    normOffset: 0,
    queryKeyNorm: 'head',
    activation: 'silu',
    gated: true,
    parallel: false,
    attentionScale: 0.5,
    attentionSoftCap: 0,
    logitSoftCap: 0,
    embeddingMultiplier: 1,
    residualMultiplier: 1,
    logitsDivider: 1,
    tiedHead: false,
    transposedLinears: false,
    headBias: false,
    positionOffset: 0,
    ropes: [{ inverseFrequencies: [1, Math.fround(0.01)], attentionFactor: 1 }],
    layers: [0, 1].map((index) => layer(index, changes.kvHeads ?? 32, ofLayers)),
    names: { embedding: 'model.embed_tokens', finalNorm: 'model.norm', head: 'lm_head' },
    ...changes,
  }
  return description
}

/** The defaults are those of the config classes of transformers 5.24. */
t.test('what a family supplies where the config is silent', (t) => {
  t.strictSame(describe('llama'), expected('llama', { maxPositions: 2048 }))
  t.strictSame(describe('mistral'), expected('mistral', { maxPositions: 131072, kvHeads: 8 }, { window: 4096 }))
  t.strictSame(describe('qwen2'), expected('qwen2', {}, { biases: [true, false, false] }))
  const { ropes, layers, ...qwen3 } = describe('qwen3')
  const {
    ropes: _,
    layers: __,
    ...plain
  } = expected('qwen3', {
    headDim: 128,
    attentionScale: 1 / Math.sqrt(128),
  })
  t.strictSame(qwen3, plain)
  t.equal(ropes[0]!.inverseFrequencies.length, 64)
  t.strictSame(
    layers,
    [0, 1].map((index) => {
      const attention = `model.layers.${index}.self_attn`
      const norms = { qNorm: `${attention}.q_norm`, kNorm: `${attention}.k_norm` }
      return layer(index, 32, { headDim: 128, norms })
    }),
  )
  t.end()
})

t.test('what a config says goes before', (t) => {
  const changes = {
    num_key_value_heads: 16,
    head_dim: 8,
    max_position_embeddings: 77,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    hidden_act: 'swish',
  }
  for (const family of ['llama', 'mistral', 'qwen2', 'qwen3']) {
    t.match(
      describe(family, changes),
      { kvHeads: 16, headDim: 8, maxPositions: 77, normEpsilon: 1e-5, tiedHead: true, activation: 'silu' },
      family,
    )
    t.equal(describe(family, { num_key_value_heads: null }).kvHeads, 32, 'null: as many as heads')
    t.equal(describe(family, changes).attentionScale, 1 / Math.sqrt(8))
  }
  const biases = (family: string, changes: Json) => {
    const { attention, mlp } = describe(family, changes).layers[1]!
    return [attention.in[2]!.bias, attention.out.bias, mlp.out.bias]
  }
  t.same(biases('llama', { attention_bias: true }), [true, true, false])
  t.same(biases('llama', { mlp_bias: true }), [false, false, true])
  t.same(biases('qwen3', { attention_bias: true, mlp_bias: true }), [true, true, false])
  t.same(biases('qwen2', { attention_bias: false }), [true, false, false], 'Qwen2 has them always')
  t.same(biases('mistral', { attention_bias: true, mlp_bias: true }), [false, false, false], 'Mistral never')
  t.end()
})

t.test('sizes that do not go together', (t) => {
  const refused = (changes: Json, message: RegExp, family = 'llama') =>
    t.throws(() => describe(family, changes), { code: 'E_CONFIG', message })
  refused({ num_key_value_heads: 5 }, /num_key_value_heads is 5, expected a divisor of num_attention_heads \(32\)/)
  refused({ hidden_size: 130 }, /hidden_size is 130, expected a multiple of num_attention_heads \(32\), or a head_dim/)
  t.equal(describe('llama', { hidden_size: 130, head_dim: 4 }).headDim, 4, 'a head_dim of its own')
  t.equal(describe('qwen3', { hidden_size: 130 }).headDim, 128, "the family's")
  refused({ head_dim: 7 }, /head_dim is 7, expected an even number up to 256/)
  refused({ head_dim: 258 }, /head_dim is 258, expected a whole number from 2 to 256/)
  refused({ hidden_size: 32 * 258 }, /head_dim is nothing, expected an even number up to 256/)
  refused({ hidden_size: 32 * 7 }, /head_dim is nothing, expected an even number/)
  t.equal(describe('llama', { hidden_size: 32 * 256 }).headDim, 256)
  t.equal(describe('llama', { head_dim: 2 }).headDim, 2)
  refused({ num_attention_heads: 4097, num_key_value_heads: 1 }, /expected a whole number from 1 to 4096/)
  t.equal(describe('llama', { num_attention_heads: 4096, head_dim: 2 }).heads, 4096)
  refused({ num_hidden_layers: 4097 }, /num_hidden_layers is 4097, expected a whole number from 1 to 4096/)
  t.equal(describe('llama', { num_hidden_layers: 4096 }).layers.length, 4096)
  refused({ hidden_act: 'gelu' }, /hidden_act is "gelu", expected 'silu' for llama/)
  for (const field of Object.keys(fewest)) refused({ [field]: undefined }, new RegExp(`${field} is nothing`))
  t.end()
})

t.test('windows, layer by layer', (t) => {
  const windows = (family: string, changes: Json) =>
    describe(family, { num_hidden_layers: 3, ...changes }).layers.map(({ attention }) => attention.window)
  t.same(windows('mistral', { sliding_window: 9 }), [9, 9, 9])
  t.same(windows('mistral', { sliding_window: null }), [0, 0, 0])
  const layer_types = ['full_attention', 'sliding_attention', 'attention']
  t.same(windows('mistral', { sliding_window: 9, layer_types }), [0, 9, 0])
  for (const family of ['qwen2', 'qwen3']) {
    t.same(windows(family, { sliding_window: 9, max_window_layers: 1 }), [0, 0, 0], 'not asked for')
    t.same(windows(family, { sliding_window: 9, max_window_layers: 1, use_sliding_window: true }), [0, 9, 9])
    t.same(windows(family, { max_window_layers: 0, use_sliding_window: true }), [4096, 4096, 4096])
    t.same(windows(family, { sliding_window: null, max_window_layers: 0, use_sliding_window: true }), [0, 0, 0])
    t.same(windows(family, { sliding_window: 9, use_sliding_window: true }), [0, 0, 0], 'from layer 28 on')
    t.same(windows(family, { sliding_window: 9, use_sliding_window: true, num_hidden_layers: 29 }).slice(27), [0, 9])
    t.same(windows(family, { sliding_window: 9, use_sliding_window: true, layer_types }), [0, 9, 0])
  }
  const refused = (types: unknown, message: RegExp) =>
    t.throws(() => windows('mistral', { layer_types: types }), { code: 'E_CONFIG', message })
  refused(['full_attention'], /layer_types .*one entry for each of the 3 layers/)
  refused(['full_attention', 'chunked', 'attention'], /entries 'full_attention' or 'sliding_attention'/)
  refused('full_attention', /a list of strings/)
  refused([1, 2, 3], /a list of strings/)
  t.end()
})

t.test('the linear layers of a block, in forward order, and their shapes', (t) => {
  const description = describe('llama', { num_key_value_heads: 8, head_dim: 6, num_hidden_layers: 1 })
  const shapes = { q_proj: [192, 128], k_proj: [48, 128], v_proj: [48, 128], o_proj: [128, 192] }
  t.strictSame(linearModules(description), [
    ...Object.entries(shapes).map(([name, shape]) => ({ module: `model.layers.0.self_attn.${name}`, shape })),
    ...Object.entries({ gate_proj: [96, 128], up_proj: [96, 128], down_proj: [128, 96] }).map(([name, shape]) => ({
      module: `model.layers.0.mlp.${name}`,
      shape,
    })),
  ])
  const [first] = description.layers
  const changed = (attention: Partial<BlockDescription['attention']>) => () =>
    linearModules({ ...description, layers: [{ ...first!, attention: { ...first!.attention, ...attention } }] })
  const out = { module: 'o', shape: [128, 191] as [number, number], bias: false }
  t.throws(changed({ out }), { code: 'E_CONFIG', message: /o is \[128, 191\], expected \[128, 192\]/ })
  t.throws(changed({ in: [out, out] }), { code: 'E_CONFIG', message: /layer 0 has 2 linear layers before attention/ })
  for (const shape of [[128], [0, 192], [128, 1.5], ['128', 192], 'x'])
    t.throws(changed({ out: { ...out, shape: shape as [number, number] } }), { code: 'E_ARGUMENT' })
  t.end()
})

/** By hand: 1 / 10000^(2i/4) of a head of 4, scaled. */
t.test('rotary parameters: both spellings, what goes before what, each kind', (t) => {
  const frequencies = (changes: Json) => describe('llama', changes).ropes[0]!.inverseFrequencies
  const near = (changes: Json, wanted: number[]) => {
    const got = frequencies(changes)
    const ok = got.length === wanted.length && got.every((value, i) => Math.abs(value / wanted[i]! - 1) <= 2.4e-7)
    t.ok(ok, `${JSON.stringify(changes)} gives ${got.join(', ')}`)
  }
  near({}, [1, 1e-2])
  near({ rope_theta: 100 }, [1, 0.1])
  near({ rope_parameters: { rope_theta: 100 } }, [1, 0.1])
  near({ rope_theta: 100, rope_parameters: {} }, [1, 0.1])
  near({ rope_theta: 1e6, rope_parameters: { rope_theta: 100 } }, [1, 0.1])
  near({ rope_theta: 100, rope_parameters: { rope_type: 'default' } }, [1, 0.1])
  near({ rope_theta: 100, rope_scaling: { type: 'linear', factor: 4 } }, [0.25, 0.025])
  near({ rope_scaling: { rope_type: 'linear', type: 'yarn', factor: 2 } }, [0.5, 0.005])
  near(
    { rope_scaling: { type: 'linear', factor: 4 }, rope_parameters: { rope_type: 'default', rope_theta: 100 } },
    [0.25, 0.0025],
  )
  near({ rope_scaling: { partial_rotary_factor: 1 } }, [1, 1e-2])
  // Wavelengths 2π and 200π. Context 2048: high = L/4 = 512, low = L/1 = 2048; 628.3 lies between: s = (2048/628.3 − 1) / 3.
  const s = (2048 / (200 * Math.PI) - 1) / 3
  const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
  near({ rope_scaling: llama3 }, [1, (1 - s) * (0.01 / 8) + s * 0.01])
  near({ rope_scaling: { ...llama3, original_max_position_embeddings: 200 } }, [1, 0.01 / 8])
  near({ rope_scaling: { ...llama3, original_max_position_embeddings: 4096 } }, [1, 0.01])
  near({ rope_scaling: { ...llama3, original_max_position_embeddings: 4096 }, original_max_position_embeddings: 200 }, [
    1,
    0.01 / 8,
  ])
  const refused = (changes: Json, code: string, message: RegExp) =>
    t.throws(() => frequencies(changes), { code, message })
  refused(
    { rope_scaling: { ...llama3, high_freq_factor: 1 } },
    'E_CONFIG',
    /high_freq_factor is 1, expected more than .*\(1\)/,
  )
  refused({ rope_scaling: { type: 'linear' } }, 'E_CONFIG', /rope_scaling\.factor is nothing/)
  refused({ rope_scaling: { type: 'linear', factor: 0 } }, 'E_CONFIG', /factor is 0, expected a number above 0/)
  refused({ rope_parameters: { rope_theta: null } }, 'E_CONFIG', /rope_theta is null/)
  refused({ rope_parameters: { rope_type: 'proportional' } }, 'E_UNSUPPORTED', /'proportional' .*yarn, longrope/)
  refused({ rope_parameters: { rope_type: 'yarn' } }, 'E_CONFIG', /rope_parameters\.factor is nothing/)
  refused({ rope_parameters: { full_attention: {} } }, 'E_UNSUPPORTED', /rope_parameters\.full_attention/)
  refused({ partial_rotary_factor: 0.5 }, 'E_UNSUPPORTED', /partial_rotary_factor 0\.5/)
  refused({ rope_parameters: { partial_rotary_factor: 2 } }, 'E_UNSUPPORTED', /partial_rotary_factor 2/)
  near({ rope_parameters: { partial_rotary_factor: 1, rope_theta: 100 }, partial_rotary_factor: 0.5 }, [1, 0.1])
  t.end()
})
