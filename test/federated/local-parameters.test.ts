/** Which parts of an adapter stay with a client, by names. */
import t from 'tap'
import { partBy } from '../../src/federated/algorithms/local-parameters.js'
import { lengthOf, type Part, spaceOf } from '../../src/federated/protocol/space.js'

const modules = [0, 1, 2, 20, 21].flatMap((layer) =>
  ['self_attn.q_proj', 'mlp.up_proj'].map((name) => `model.layers.${layer}.${name}`),
)
const layout = modules.flatMap((module, index) =>
  (['lora_A', 'lora_B'] as Part[]).map((part, i) => ({
    name: `base_model.model.${module}.${part}.weight`,
    part,
    shape: part === 'lora_A' ? ([1, 3] as const) : ([2, 1] as const),
    offset: 5 * index + 3 * i,
    length: part === 'lora_A' ? 3 : 2,
  })),
)
const space = spaceOf(
  layout,
  modules.map((module) => ({ module, rank: 1, scaling: 1 })),
)
/** Names of tensors that stay. */
const local = (...patterns: string[]) => {
  const parted = partBy(space, patterns)
  t.equal(lengthOf(parted.local) + lengthOf(parted.shared), space.length)
  return layout
    .filter(({ offset }) => parted.local.some(([begin, end]) => begin <= offset && offset < end))
    .map(({ name }) => name.replace('base_model.model.model.', '').replace('.weight', ''))
}

t.test('parts, layers, modules, and any text between', async (t) => {
  t.equal(local('lora_B').length, 10)
  t.ok(local('lora_B').every((name) => name.endsWith('lora_B')))
  t.same(local('layers.2'), [
    'layers.2.self_attn.q_proj.lora_A',
    'layers.2.self_attn.q_proj.lora_B',
    'layers.2.mlp.up_proj.lora_A',
    'layers.2.mlp.up_proj.lora_B',
  ])
  t.same(local('layers.2.*'), local('layers.2'))
  t.equal(local('layers.2*').length, 12, 'layers 2, 20 and 21')
  t.same(local('layers.2*.q_proj.lora_A', 'layers.0.mlp'), [
    'layers.0.mlp.up_proj.lora_A',
    'layers.0.mlp.up_proj.lora_B',
    ...[2, 20, 21].map((layer) => `layers.${layer}.self_attn.q_proj.lora_A`),
  ])
  t.equal(local('q_proj').length, 10)
})

t.test('what names nothing, or leaves nothing to share, is refused', async (t) => {
  const refused = (patterns: string[], message: RegExp) =>
    t.throws(() => partBy(space, patterns), { code: 'E_CONFIG', message }, String(message))
  refused(['lora_B', 'q_pro'], /'q_pro' is in no name .* such as 'model\.layers\.0\.self_attn\.q_proj\.lora_A'/)
  refused(['layers.3'], /'layers\.3'/)
  refused(['layersx0'], /'layersx0'/)
  refused(['lora_A', 'lora_B'], /'lora_A', 'lora_B' leave nothing to share/)
  refused(['*'], /nothing to share/)
})
