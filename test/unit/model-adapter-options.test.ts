/** Which layers an adapter sits on, with what rank and scaling: PEFT's rules. */
import t from 'tap'
import {
  adapterLayers,
  configOfLayers,
  endsWithName,
  matchTargets,
  parseAdapterOptions,
  patternValues,
  refuseOutsideBlocks,
  wholeName,
} from '../../src/model/adapter-options.js'

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

t.test('options: defaults, and every bound', (t) => {
  t.strictSame(parseAdapterOptions(), {
    method: 'lora',
    rank: 16,
    alpha: 32,
    targetModules: 'all-linear',
    dropout: 0,
    rsLora: false,
    rankPattern: {},
    alphaPattern: {},
    seed: 0,
  })
  const good = { rank: 4096, alpha: 1e-9, dropout: 0.999, rankPattern: { a: 1 }, alphaPattern: { a: 0.5 }, seed: 9 }
  t.match(parseAdapterOptions(good), good)
  t.equal(parseAdapterOptions({ rank: 1 }).alpha, 2)
  for (const wrong of [
    { rank: 0 },
    { rank: 4097 },
    { rank: 1.5 },
    { alpha: 0 },
    { dropout: 1 },
    { dropout: -0.1 },
    { targetModules: '' },
    { targetModules: [] },
    { targetModules: [''] },
    { rankPattern: { a: 0 } },
    { rankPattern: { a: 4097 } },
    { alphaPattern: { a: 0 } },
    { seed: -1 },
    { seed: 0.5 },
    { method: 'dora' },
    { ranks: 8 },
  ]) {
    const [field] = Object.keys(wrong)
    t.throws(() => parseAdapterOptions(wrong as never), {
      code: 'E_CONFIG',
      message: new RegExp(`^adapter options: .*${field}`),
    })
  }
  t.end()
})

t.test('names and endings after a dot', (t) => {
  t.equal(endsWithName('a.b.q_proj', ['x', 'q_proj']), true)
  t.equal(endsWithName('a.b.q_proj', ['b.q_proj']), true)
  t.equal(endsWithName('q_proj', ['q_proj']), true)
  t.equal(endsWithName('a.b.q_proj', ['proj', 'b']), false)
  t.equal(endsWithName('a.b.q_proj', []), false)
  t.same(matchTargets('ALL-Linear', modules), modules, 'in any case, as PEFT has it')
  t.same(matchTargets('mlp.gate_proj', modules).length, 2, 'an expression that matches none is an ending')
  t.end()
})

t.test('embedding and head are outside the blocks, by their own names', (t) => {
  const refused = (names: string[], module: string, head?: string) =>
    t.throws(() => refuseOutsideBlocks(names, head), {
      code: 'E_UNSUPPORTED',
      message: `targetModules: an adapter on '${module}' is not supported, only on the linear layers of the blocks`,
      details: { module },
    })
  refused(['q_proj', 'lm_head'], 'lm_head')
  refused(['embed_tokens'], 'embed_tokens')
  refused(['model.embed_tokens'], 'model.embed_tokens')
  refused(['wte'], 'wte')
  refused(['transformer.wte'], 'transformer.wte')
  refused(['head'], 'head', 'score.head')
  refused(['score.head'], 'score.head', 'score.head')
  refuseOutsideBlocks(['q_proj', 'my_lm_head', 'xwte', 'embed_tokens.x', 'head'])
  refuseOutsideBlocks(['lm_head'], 'other')
  t.throws(() => matchTargets(['head'], modules, 'score.head'), { code: 'E_UNSUPPORTED' })
  t.throws(() => matchTargets('embed_tokens', modules), { code: 'E_UNSUPPORTED' })
  t.end()
})

t.test('whole names: Python of a text, JavaScript of a RegExp', (t) => {
  t.equal(wholeName('a|ab')('ab'), true)
  t.equal(wholeName('a|ab')('abc'), false)
  t.equal(wholeName(/a|ab/)('ab'), true)
  t.equal(wholeName(/a|ab/)('abc'), false)
  t.equal(wholeName(/AB/i)('ab'), true)
  const sticky = wholeName(/ab/gy)
  t.same([sticky('ab'), sticky('ab'), sticky('ab')], [true, true, true], 'it remembers no place')
  t.throws(() => wholeName('(', 'here'), { code: 'E_CONFIG', message: /^here: / })
  t.end()
})

t.test('what matches nothing: one or several, with and without a near name', (t) => {
  const refused = (target: string[], message: string) =>
    t.throws(() => matchTargets(target, modules), { code: 'E_MISSING', message })
  const endings = 'q_proj, k_proj, o_proj, gate_proj, down_proj'
  refused(['zzzzzzzz'], `targetModules: 'zzzzzzzz' matches no linear layer; the layers end in ${endings}`)
  refused(
    ['q_porj', 'q_proj', 'zzzzzzzz'],
    `targetModules: 'q_porj', 'zzzzzzzz' match no linear layer (did you mean 'q_proj'?); the layers end in ${endings}`,
  )
  t.throws(() => matchTargets(/x+/, modules), { message: /^targetModules: 'x\+' matches no/ })
  t.end()
})

t.test('one rank and scaling a layer, each with the dropout', (t) => {
  const config = parseAdapterOptions({ rank: 4, alpha: 6, dropout: 0.25, rsLora: true, rankPattern: { k_proj: 9 } })
  t.strictSame(adapterLayers(config, ['a.q_proj', 'a.k_proj']), [
    { module: 'a.q_proj', rank: 4, scaling: 3, dropout: 0.25 },
    { module: 'a.k_proj', rank: 9, scaling: 2, dropout: 0.25 },
  ])
  t.end()
})

t.test('a configuration of layers gives them again, and names only those that differ from the first', (t) => {
  for (const rsLora of [false, true]) {
    const config = parseAdapterOptions({ rank: 4, alpha: 8, rsLora, rankPattern: { k_proj: 16 } })
    const uniform = adapterLayers({ ...config, rankPattern: {} }, modules)
    t.same(configOfLayers(config, uniform), { ...config, rankPattern: {}, alphaPattern: {} })
    const mixed = adapterLayers({ ...config, alphaPattern: { down_proj: 2 } }, modules)
    const found = configOfLayers(config, mixed)
    t.same(found.rankPattern, { [modules[1]!]: 16, [modules[6]!]: 16 })
    t.same(found.alphaPattern, { [modules[4]!]: 2, [modules[9]!]: 2 })
    t.same(adapterLayers(found, modules), mixed)
  }
  t.end()
})
