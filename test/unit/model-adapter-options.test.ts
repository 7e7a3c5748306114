/** Which layers an adapter sits on, with what rank and scaling: PEFT's rules. */
import t from 'tap'
import { adapterLayers, matchTargets, parseAdapterOptions, patternValues } from '../../src/model/adapter-options.js'

const modules = [0, 1].flatMap((layer) =>
  ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.down_proj'].map(
    (name) => `model.layers.${layer}.${name}`,
  ),
)

t.test('names, endings, all-linear, expressions', (t) => {
  t.same(matchTargets('all-linear', modules), modules)
  t.same(matchTargets(['q_proj'], modules), ['model.layers.0.self_attn.q_proj', 'model.layers.1.self_attn.q_proj'])
  t.same(matchTargets(['layers.1.mlp.down_proj', 'k_proj'], modules), [
    'model.layers.0.self_attn.k_proj',
    'model.layers.1.self_attn.k_proj',
    'model.layers.1.mlp.down_proj',
  ])
  t.same(matchTargets(/.*\.0\.mlp\..*/, modules), ['model.layers.0.mlp.gate_proj', 'model.layers.0.mlp.down_proj'])
  t.same(matchTargets('.*\\.0\\.self_attn\\.[qk]_proj', modules).length, 2)
  t.same(matchTargets('q_proj', modules).length, 2, 'a bare ending')
  t.end()
})

t.test('an expression must match the whole name', (t) => {
  t.throws(() => matchTargets(/mlp/, modules), { code: 'E_MISSING' })
  t.throws(() => matchTargets(/q_pro/, modules), { code: 'E_MISSING' })
  t.end()
})

t.test('what matches nothing is named', (t) => {
  t.throws(() => matchTargets(['q_proj', 'q_porj'], modules), {
    code: 'E_MISSING',
    message: /'q_porj' matches no linear layer \(did you mean 'q_proj'\?\)/,
  })
  t.throws(() => matchTargets(['lm_head'], modules), { code: 'E_UNSUPPORTED', message: /lm_head/ })
  t.throws(() => matchTargets(['embed_tokens'], modules), { code: 'E_UNSUPPORTED' })
  t.throws(() => matchTargets('(', modules), { code: 'E_CONFIG' })
  t.throws(() => matchTargets('.*(?<part>q)_proj', modules), { code: 'E_CONFIG', message: /\(\?P<name>/ })
  t.end()
})

t.test('patterns: the first key that is the name or its ending', (t) => {
  const value = (pattern: Record<string, number>, module: string) => patternValues(pattern, 'rankPattern')(module) ?? -1
  t.equal(value({ q_proj: 4 }, modules[0]!), 4)
  t.equal(value({ proj: 4 }, modules[0]!), -1, 'not after a dot')
  t.equal(value({ 'layers.1.mlp.down_proj': 12 }, 'model.layers.1.mlp.down_proj'), 12)
  t.equal(value({ 'layers.1.mlp.down_proj': 12 }, 'model.layers.0.mlp.down_proj'), -1)
  t.equal(value({ '.*_proj': 3, q_proj: 4 }, modules[0]!), 3)
  t.equal(value({ 'self_attn\\.(?P<which>[qk])_proj\\Z': 5 }, modules[0]!), 5)
  t.equal(value({ 'gate|down_proj': 6 }, modules[4]!), 6, 'a choice is one piece')
  t.equal(value({ 'gate|down_proj': 6 }, modules[3]!), -1)
  t.throws(() => value({ '(?<which>q)_proj': 5 }, modules[0]!), {
    code: 'E_CONFIG',
    message: /rankPattern.*\(\?P<name>/,
  })
  t.throws(
    () => value({ '(?i)Q_PROJ': 5 }, modules[0]!),
    { code: 'E_CONFIG', message: /beginning/ },
    'PEFT puts it behind a prefix',
  )
  t.end()
})

t.test('rank and scaling of every layer', (t) => {
  const config = parseAdapterOptions({ rank: 8, alpha: 16, rankPattern: { q_proj: 4 }, alphaPattern: { k_proj: 32 } })
  const layers = adapterLayers(config, modules.slice(0, 3))
  t.same(
    layers.map(({ rank, scaling }) => [rank, scaling]),
    [
      [4, 4],
      [8, 4],
      [8, 2],
    ],
  )
  const stable = adapterLayers(parseAdapterOptions({ rank: 16, alpha: 32, rsLora: true }), modules.slice(0, 1))
  t.equal(stable[0]!.scaling, 8)
  t.end()
})
