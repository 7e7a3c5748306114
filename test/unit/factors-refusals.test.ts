/** What combineFactors refuses, by code and words, before it computes. */
import t from 'tap'
import { type ErrorCode, isFedloraError } from '../../src/errors.js'
import { type CombineFactorsInput, combineFactors, type FactorRuleName } from '../../src/federated/index.js'
import { goldenInput, type Held } from '../support/lora-golden.js'

const changed = (change: (input: CombineFactorsInput) => void, held: Held = 'none') => {
  const input = goldenInput('plain', {}, { held })
  change(input)
  return input
}
const q = (input: CombineFactorsInput) => input.modules.q!
const client = (input: CombineFactorsInput) => q(input).clients[1]!

const refused: [string, FactorRuleName, CombineFactorsInput, ErrorCode, RegExp][] = [
  [
    'a rule of another name',
    'flexlore' as FactorRuleName,
    goldenInput('plain'),
    'E_ARGUMENT',
    /"flexlore".*did you mean "flexlora".*fedit.*fedsb/,
  ],
  [
    'a rule that is an inherited name',
    'toString' as FactorRuleName,
    goldenInput('plain'),
    'E_ARGUMENT',
    /known: fedit/,
  ],
  ['no rule', undefined as unknown as FactorRuleName, goldenInput('plain'), 'E_ARGUMENT', /nothing.*known: fedit/],
  ['an unknown option', 'flexlora', goldenInput('plain', { rank: 4 }), 'E_CONFIG', /options of flexlora.*"rank"/],
  ['an option of another rule', 'hetlora', goldenInput('plain', { gama: 0.5 }), 'E_CONFIG', /did you mean "gamma"/],
  ['an option out of range', 'hetlora', goldenInput('plain', { gamma: 1.5 }), 'E_CONFIG', /gamma: got 1.5/],
  ['an unknown objective', 'lorafair', goldenInput('plain', { objective: 'cos' }), 'E_CONFIG', /objective: got "cos"/],
  [
    'an unknown key',
    'fedit',
    { ...goldenInput('plain'), scale: 2 } as CombineFactorsInput,
    'E_CONFIG',
    /unknown key "scale".*"scaling"/,
  ],
  ['no modules', 'fedit', { ...goldenInput('plain'), modules: {} }, 'E_CONFIG', /at least one module/],
  [
    'no clients',
    'fedit',
    changed((input) => {
      q(input).clients = []
    }),
    'E_CONFIG',
    /modules.q.clients/,
  ],
  ['a scaling of 0', 'fedit', { ...goldenInput('plain'), scaling: 0 }, 'E_CONFIG', /scaling: got 0/],
  [
    'a plain array',
    'fedit',
    changed((input) => {
      client(input).A = [1] as unknown as Float32Array
    }),
    'E_CONFIG',
    /modules.q.clients\[1\].A.*Float32Array or Float64Array/,
  ],
  [
    'an alpha of 0',
    'fedit',
    changed((input) => {
      client(input).alpha = 0
    }),
    'E_CONFIG',
    /clients\[1\].alpha: got 0/,
  ],
  [
    'a rank of 0',
    'fedit',
    changed((input) => {
      client(input).rank = 0
    }),
    'E_CONFIG',
    /clients\[1\].rank: got 0/,
  ],
  [
    'a weight below 0',
    'fedit',
    { ...goldenInput('plain'), weights: [1, -1, 1, 1] },
    'E_ARGUMENT',
    /weights\[1\] is -1/,
  ],
  ['weights that are all 0', 'fedit', { ...goldenInput('plain'), weights: [0, 0, 0, 0] }, 'E_ARGUMENT', /sum to 0/],
  [
    'weights whose sum overflows',
    'fedit',
    { ...goldenInput('plain'), weights: [1e308, 1e308, 1, 1] },
    'E_ARGUMENT',
    /sum to Infinity/,
  ],
  [
    'too few weights',
    'fedit',
    { ...goldenInput('plain'), weights: [1, 1] },
    'E_SHAPE',
    /modules.q has 4 clients, expected 2/,
  ],
  [
    'an A of another length',
    'fedit',
    changed((input) => {
      client(input).A = new Float32Array(159)
    }),
    'E_SHAPE',
    /modules.q.clients\[1\].A has 159 values, expected 160: rank 8 × in 20/,
  ],
  [
    'a B of another length',
    'fedit',
    changed((input) => {
      client(input).B = new Float32Array(9)
    }),
    'E_SHAPE',
    /clients\[1\].B has 9 values, expected 192: out 24 × rank 8/,
  ],
  [
    'a NaN',
    'fedit',
    changed((input) => {
      client(input).B[190] = Number.NaN
    }),
    'E_NONFINITE',
    /modules.q.clients\[1\].B\[190\] is NaN/,
  ],
  [
    'an infinity',
    'fedit',
    changed((input) => {
      client(input).A[3] = -Infinity
    }),
    'E_NONFINITE',
    /A\[3\] is -Infinity/,
  ],
  [
    'mixed ranks where one is needed',
    'fedit',
    goldenInput('mixed'),
    'E_SHAPE',
    /fedit needs equal ranks.*rank 2 of clients\[0\] and 4 of clients\[1\].*zeropad/,
  ],
  [
    'an A of its own under ffa',
    'ffa',
    goldenInput('plain'),
    'E_ARGUMENT',
    /modules.q.clients\[1\].A differs.*ffa.*A that was sent/,
  ],
  [
    'a B of its own under rolora A',
    'rolora',
    goldenInput('plain', { part: 'A' }),
    'E_ARGUMENT',
    /clients\[1\].B differs/,
  ],
  ['an A of its own under fedsvd', 'fedsvd', goldenInput('plain'), 'E_ARGUMENT', /A differs/],
  ['a least rank of 0', 'hetlora', goldenInput('plain', { minRank: 0 }), 'E_CONFIG', /minRank: got 0/],
  [
    'mixed ranks of cores',
    'fedsb',
    changed((input) => {
      Object.assign(client(input), { rank: 4, A: new Float32Array(80), B: new Float32Array(96) })
    }, 'AB'),
    'E_SHAPE',
    /fedsb needs equal ranks/,
  ],
  ['no cores', 'fedsb', goldenInput('plain'), 'E_MISSING', /fedsb needs modules.q.clients\[0\].R/],
  [
    'a core of another length',
    'fedsb',
    changed((input) => {
      client(input).R = new Float32Array(7)
    }, 'AB'),
    'E_SHAPE',
    /R has 7 values, expected 64/,
  ],
  [
    'a B of its own under fedsb',
    'fedsb',
    changed((input) => {
      client(input).B = client(input).B.map((x) => 2 * x)
    }, 'AB'),
    'E_ARGUMENT',
    /clients\[1\].B differs/,
  ],
  [
    'nothing sent, of which a tail could have fallen',
    'hetlora',
    changed((input) => {
      delete q(input).sent
    }),
    'E_MISSING',
    /hetlora needs modules.q.sent of rank 8/,
  ],
  [
    'something smaller sent',
    'hetlora',
    changed((input) => {
      q(input).sent = { ...client(input), rank: 4, A: new Float32Array(80), B: new Float32Array(96) }
    }),
    'E_MISSING',
    /it has rank 4/,
  ],
]

for (const [what, rule, input, code, words] of refused) {
  t.test(`refuses ${what}`, async (t) => {
    try {
      combineFactors(rule, input)
      t.fail('was accepted')
    } catch (error) {
      t.ok(isFedloraError(error, code), String(error))
      t.match(String(error), words)
    }
  })
}

t.test('refuses modules and clients that are not there', async (t) => {
  const combined = combineFactors('fedit', goldenInput('plain'))
  t.throws(() => combined.delta('v'), { code: 'E_ARGUMENT', message: /no module "v"; known: q, down, k/ })
  t.throws(() => combined.factors('toString'), { code: 'E_ARGUMENT' })
  for (const client of [-1, 4, 0.5, Number.NaN]) t.throws(() => combined.deltaFor('q', client), { code: 'E_ARGUMENT' })
})

t.test('what is given is neither kept nor changed', async (t) => {
  const input = goldenInput('plain')
  const before = structuredClone(input)
  const combined = combineFactors('flora', input)
  t.strictSame(input, before)
  const delta = combined.delta('q')
  const { A } = combined.factors('q')
  combined.factors('q').A.fill(0)
  combined.delta('q').fill(0)
  t.strictSame(combined.delta('q'), delta)
  t.strictSame(combined.factors('q').A, A)
})
