/** What the configs of further families may say: defaults, what changes a description, what is refused. Whole descriptions: golden folders. */
import t from 'tap'
import { parseModelConfig } from '../../src/model/config.js'
import { describer } from '../support/described.js'

type Json = Record<string, unknown>

const describe = describer({ num_attention_heads: 16, num_hidden_layers: 6 })
const windows = (family: string, changes: Json = {}) =>
  describe(family, changes).layers.map(({ attention }) => attention.window)
const refused = (t: Tap, family: string, changes: Json, code: string, message: RegExp) =>
  t.throws(() => describe(family, changes), { code, message }, `${family} ${JSON.stringify(changes)}`)
type Tap = Pick<typeof t, 'throws'>

/** The defaults are those of the config classes of transformers 5.24. */
t.test('a config that says nothing but its family, where the family has a size of its own', (t) => {
  const sizes = (family: string) => {
    const { hidden, heads, kvHeads, layers, intermediate, vocabulary, maxPositions, normEpsilon, tiedHead } =
      parseModelConfig({ model_type: family }).description
    return [hidden, heads, kvHeads, layers.length, intermediate, vocabulary, maxPositions, normEpsilon, tiedHead]
  }
  t.same(sizes('bloom'), [64, 8, 8, 2, 256, 250880, 2048, 1e-5, true])
  t.same(sizes('gpt2'), [768, 12, 12, 12, 3072, 50257, 1024, 1e-5, true])
  t.end()
})

t.test('what a family supplies where the config is silent', (t) => {
  const gemma = {
    headDim: 256,
    tiedHead: true,
    normOffset: 1,
    embeddingMultiplier: Math.sqrt(128),
    activation: 'gelu_tanh',
  }
  const quarter = 1 / 16
  t.match(describe('gemma'), {
    ...gemma,
    kvHeads: 16,
    maxPositions: 8192,
    attentionSoftCap: 0,
    attentionScale: quarter,
  })
  t.match(describe('gemma2'), { ...gemma, kvHeads: 4, attentionSoftCap: 50, logitSoftCap: 30, attentionScale: quarter })
  t.match(describe('gemma3_text'), { ...gemma, kvHeads: 4, maxPositions: 131072, attentionSoftCap: 0, logitSoftCap: 0 })
  t.match(describe('granite'), { residualMultiplier: 1, logitsDivider: 1, embeddingMultiplier: 1, attentionScale: 1 })
  t.match(describe('olmo2'), { kvHeads: 16, queryKeyNorm: 'projection', normEpsilon: 1e-5, maxPositions: 2048 })
  t.match(describe('phi3'), { kvHeads: 16, normEpsilon: 1e-5, maxPositions: 4096, tiedHead: false })
  t.match(describe('smollm3'), { kvHeads: 4, tiedHead: true, maxPositions: 32768 })
  const ministral = describe('ministral3')
  t.match(ministral, { kvHeads: 8, headDim: 128, maxPositions: 262144, normEpsilon: 1e-5 })
  t.same(ministral.ropes[1]!.temperature, { beta: 0.1, positions: 16384 })
  t.same([ministral.layers[0]!.attention.rope, ministral.layers[0]!.attention.queryRope], [0, 1])
  t.equal(ministral.ropes[0]!.attentionFactor, 1, 'mscale over mscale_all_dim')
  t.end()
})

t.test('the older shape: what a family supplies, and what it refuses', (t) => {
  const older = { norm: 'layer', gated: false, normEpsilon: 1e-5, attentionScale: 1 / Math.sqrt(8) }
  const opt = { ffn_dim: 96, intermediate_size: undefined }
  t.match(describe('starcoder2', { num_key_value_heads: 2 }), {
    ...older,
    parallel: false,
    tiedHead: true,
    activation: 'gelu_tanh',
  })
  t.match(describe('phi'), { ...older, parallel: true, headBias: true, tiedHead: false, activation: 'gelu_tanh' })
  t.match(describe('gpt_neox'), { ...older, parallel: true, headBias: false, activation: 'gelu' })
  t.match(describe('opt', opt), {
    ...older,
    parallel: false,
    activation: 'relu',
    positionOffset: 2,
    tiedHead: true,
    ropes: [],
  })
  const pairs = (family: string, changes: Json) => describe(family, changes).ropes[0]!.inverseFrequencies.length
  const wide = { hidden_size: 512 } // heads of 32
  t.same([pairs('phi', wide), pairs('phi', { ...wide, partial_rotary_factor: 0.25 })], [8, 4])
  t.same([pairs('gpt_neox', wide), pairs('gpt_neox', { ...wide, rotary_pct: 1 })], [4, 16])
  t.equal(pairs('gpt_neox', { ...wide, rotary_pct: 1, rope_parameters: { partial_rotary_factor: 0.5 } }), 8)
  const second = describe('gpt_neox', { ...wide, rotary_emb_base: 100, rotary_pct: 0.125 }).ropes[0]!
    .inverseFrequencies[1]!
  t.ok(Math.abs(second - 0.1) < 1e-7)
  t.equal(describe('gpt_neox', { use_parallel_residual: false }).parallel, false)
  const biases = (family: string, changes: Json) => {
    const { attention, mlp } = describe(family, changes).layers[0]!
    return [attention.in[0]!.bias, attention.out.bias, mlp.in[0]!.bias, mlp.out.bias]
  }
  t.same(biases('gpt_neox', { attention_bias: false }), [false, false, true, true])
  t.same(biases('starcoder2', { num_key_value_heads: 2, use_bias: false }), [false, false, false, false])
  t.same(biases('opt', { ...opt, enable_bias: false }), [false, false, false, false])
  t.same(describe('phi').layers[0]!.norms, { beforeAttention: 'model.layers.0.input_layernorm' })
  refused(t, 'phi', { qk_layernorm: true }, 'E_CONFIG', /qk_layernorm is true, expected false/)
  refused(t, 'phi', { hidden_act: 'mish' }, 'E_CONFIG', /hidden_act is "mish", expected one of gelu, gelu_new/)
  refused(t, 'opt', { ...opt, do_layer_norm_before: false }, 'E_CONFIG', /do_layer_norm_before is false/)
  refused(
    t,
    'opt',
    { ...opt, word_embed_proj_dim: 64 },
    'E_CONFIG',
    /word_embed_proj_dim is 64, expected hidden_size \(128\)/,
  )
  refused(t, 'opt', { ...opt, layer_norm_elementwise_affine: false }, 'E_CONFIG', /layer_norm_elementwise_affine/)
  refused(t, 'opt', { ...opt, ffn_dim: undefined }, 'E_CONFIG', /ffn_dim is nothing/)
  refused(t, 'gpt_neox', { head_dim: 4 }, 'E_CONFIG', /num_attention_heads/)
  t.end()
})

t.test('windows and rotations, layer by layer', (t) => {
  t.same(windows('gemma2'), [4096, 0, 4096, 0, 4096, 0])
  t.same(windows('gemma3_text', { sliding_window: 9 }), [9, 9, 9, 9, 9, 0])
  t.same(windows('gemma3_text', { sliding_window: 9, sliding_window_pattern: 2 }), [9, 0, 9, 0, 9, 0])
  t.same(windows('olmo3', { sliding_window: 9 }), [9, 9, 9, 0, 9, 9])
  t.same(windows('phi3'), [0, 0, 0, 0, 0, 0])
  t.same(windows('phi3', { sliding_window: 7 }), [7, 7, 7, 7, 7, 7])
  const full = Array<string>(6).fill('full_attention')
  for (const family of ['gemma2', 'gemma3_text', 'olmo3'])
    t.same(windows(family, { sliding_window: 9, layer_types: full }), [0, 0, 0, 0, 0, 0])
  const ropes = (family: string, changes: Json = {}) =>
    describe(family, changes).layers.map(({ attention }) => attention.rope)
  t.same(ropes('smollm3'), [0, 0, 0, -1, 0, 0])
  t.same(ropes('smollm3', { no_rope_layer_interval: 2 }), [0, -1, 0, -1, 0, -1])
  t.same(ropes('smollm3', { no_rope_layers: [0, 1, 1, 0, 1, 1] }), [-1, 0, 0, -1, 0, 0])
  t.same(windows('smollm3', { sliding_window: 9 }), [0, 0, 0, 0, 0, 0], 'not asked for')
  t.same(windows('smollm3', { sliding_window: 9, use_sliding_window: true }), [0, 0, 0, 9, 0, 0])
  t.same(ropes('gemma3_text'), [1, 1, 1, 1, 1, 0])
  t.same(ropes('olmo3'), [1, 1, 1, 0, 1, 1])
  t.end()
})

t.test('rotary parameters of both kinds of layers, in both spellings', (t) => {
  const second = (changes: Json, family = 'gemma3_text') =>
    describe(family, { head_dim: 4, ...changes }).ropes.map(({ inverseFrequencies }) => inverseFrequencies[1]!)
  const near = (got: number[], want: number[]) =>
    t.ok(got.length === want.length && got.every((x, i) => Math.abs(x / want[i]! - 1) < 1e-6), `${got}`)
  near(second({}), [1e-3, 1e-2])
  near(second({ rope_theta: 1e4, rope_local_base_freq: 100 }), [1e-2, 0.1])
  near(second({ rope_scaling: { rope_type: 'linear', factor: 8 } }), [1e-3 / 8, 1e-2])
  const sets = {
    full_attention: { rope_theta: 100, rope_type: 'linear', factor: 2 },
    sliding_attention: { rope_theta: 1e4 },
  }
  near(second({ rope_parameters: sets }), [0.05, 1e-2])
  near(second({ rope_theta: 1e4 }, 'olmo3'), [1e-2, 1e-2])
  refused(t, 'olmo3', { rope_parameters: { rope_theta: 1e4 } }, 'E_CONFIG', /alone, not 'rope_theta'/)
  t.end()
})

/** By hand, for heads of 8 at theta 10000: periods 1, 10, 100, 1000. */
t.test('yarn and longrope', (t) => {
  const rope = (rope_scaling: Json, changes: Json = {}, family = 'phi3') =>
    describe(family, { head_dim: 8, rope_scaling, ...changes }).ropes[0]!
  const near = (got: number[], want: number[]) =>
    t.ok(got.length === want.length && got.every((x, i) => Math.abs(x / want[i]! - 1) < 1e-6), `${got}`)
  const factors = { short_factor: [1, 2, 4, 8], long_factor: [2, 4, 8, 16], original_max_position_embeddings: 64 }
  const long = rope({ type: 'longrope', ...factors })
  near(long.inverseFrequencies, [1, 1 / 20, 1 / 400, 1 / 8000])
  near(long.long!.inverseFrequencies, [1 / 2, 1 / 40, 1 / 800, 1 / 16000])
  t.equal(long.long!.originalPositions, 64)
  t.ok(Math.abs(long.attentionFactor - Math.sqrt(1 + Math.log(64) / Math.log(64))) < 1e-12, '4096 / 64 positions')
  t.same(rope({ type: 'su', ...factors }), long, 'its older name')
  t.equal(rope({ type: 'longrope', ...factors }, { original_max_position_embeddings: 4096 }).attentionFactor, 1)
  const half = rope({
    type: 'longrope',
    ...factors,
    short_factor: [1, 2],
    long_factor: [1, 3],
    partial_rotary_factor: 0.5,
  })
  near(half.inverseFrequencies, [1, 1 / 200])
  refused(
    t,
    'phi3',
    { head_dim: 8, rope_scaling: { type: 'longrope', ...factors, long_factor: [1] } },
    'E_CONFIG',
    /long_factor .* 4 numbers/,
  )
  refused(
    t,
    'phi3',
    { head_dim: 8, rope_scaling: { type: 'longrope', ...factors, short_factor: [1, 0, 1, 1] } },
    'E_CONFIG',
    /short_factor/,
  )
  refused(
    t,
    'phi3',
    { head_dim: 8, partial_rotary_factor: 0.4 },
    'E_UNSUPPORTED',
    /0.4 is not supported .* even number of the 8/,
  )
  // Turns in 64 positions: pairs 0.1 and 1.6 of 4 turn 32 times and once, so that the ramp goes from 0 to 2.
  const yarn = rope({ type: 'yarn', factor: 4, original_max_position_embeddings: 64 }, {}, 'llama')
  near(yarn.inverseFrequencies, [1, (1 / 10 + 1 / 40) / 2, 1 / 400, 1 / 4000])
  t.ok(Math.abs(yarn.attentionFactor - (0.1 * Math.log(4) + 1)) < 1e-12)
  t.end()
})

t.test('a field that changes the mathematics and that the family does not know is refused', (t) => {
  const unread = /changes what the model computes, and family '.*' has no such field/
  for (const [family, changes] of [
    ['llama', { attn_logit_softcapping: 50 }],
    ['llama', { final_logit_softcapping: 30 }],
    ['mistral', { num_local_experts: 8 }],
    ['llama', { residual_multiplier: 0.22 }],
    ['gemma', { query_pre_attn_scalar: 224 }],
    ['granite', { no_rope_layers: [1, 0] }],
    ['olmo2', { clip_qkv: 8 }],
    ['phi3', { embedding_multiplier: 12 }],
    ['granite', { layer_types: ['full_attention', 'sliding_attention'] }],
    ['olmo2', { layer_types: ['linear_attention'] }],
    ['starcoder2', { qk_norm: true }],
    ['llama', { qk_layernorm: true }],
  ] as const)
    refused(t, family, changes, 'E_UNSUPPORTED', unread)
  for (const neutral of [
    { attn_logit_softcapping: null },
    { residual_multiplier: 1 },
    { num_experts: 0 },
    { layer_types: ['full_attention'] },
    { alibi: false, multi_query: false, new_decoder_architecture: false, parallel_attn: false },
    { attention_multiplier: 1, embedding_multiplier: 1, logits_scaling: 1, rotary_pct: 1 },
    { attn_logit_softcapping: 0, final_logit_softcapping: 0, n_routed_experts: 0, num_local_experts: 0 },
    { mlp_only_layers: [], no_rope_layers: [], num_local_experts: 1 },
    { qk_layernorm: false, qk_norm: false, use_qk_norm: false },
    { use_bidirectional_attention: false, use_parallel_residual: false },
  ])
    t.same(describe('llama', neutral), describe('llama'), JSON.stringify(neutral))
  for (const changes of [
    { alibi: true },
    { multi_query: true },
    { new_decoder_architecture: true },
    { parallel_attn: true },
    { attention_chunk_size: 8192 },
    { moe_intermediate_size: 64 },
    { n_routed_experts: 8 },
    { num_experts: 8 },
    { mlp_only_layers: [0] },
    { no_rope_layers: [0] },
    { rope_local_base_freq: 1e4 },
    { rotary_pct: 0.5 },
    { logits_scaling: 8 },
    { attention_multiplier: 0.5 },
    { use_bidirectional_attention: true },
    { use_parallel_residual: true },
    { use_qk_norm: true },
  ])
    refused(t, 'llama', changes, 'E_UNSUPPORTED', unread)
  refused(t, 'gemma', { use_bidirectional_attention: true }, 'E_CONFIG', /use_bidirectional_attention is true/)
  refused(t, 'gemma2', { hidden_activation: 'gelu' }, 'E_CONFIG', /hidden_activation is "gelu"/)
  t.equal(describe('gemma', { hidden_act: 'gelu' }).activation, 'gelu_tanh', 'Gemma 1 means its tanh form')
  refused(t, 'granite', { logits_scaling: 0 }, 'E_CONFIG', /logits_scaling is 0/)
  refused(t, 'smollm3', { no_rope_layers: [1] }, 'E_CONFIG', /no_rope_layers .* each of the 6 layers/)
  refused(t, 'smollm3', { no_rope_layers: [1, 2, 3, 4, 5, 6] }, 'E_CONFIG', /a list of 0 and 1/)
  refused(t, 'gemma2', { final_logit_softcapping: -1 }, 'E_CONFIG', /final_logit_softcapping is -1/)
  t.equal(describe('gemma2', { final_logit_softcapping: null }).logitSoftCap, 0)
  t.end()
})
