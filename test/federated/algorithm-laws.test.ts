/** What every algorithm that averages promises, whatever its equations: a federation of equals is one client, and special cases are FedAvg. */
import t from 'tap'
import type { Algorithm } from '../../src/federated/algorithms/algorithm.js'
import { stepByMeans, trainAndSend } from '../../src/federated/algorithms/defaults.js'
import { reach } from '../../src/federated/algorithms/fednova.js'
import type { AlgorithmInput } from '../../src/federated/algorithms/index.js'
import { combination } from '../../src/federated/algorithms/vectors.js'
import { serverOptimizerSchema } from '../../src/federated/server-step/options.js'
import { bytesOf } from '../support/train.js'
import { parameters, type Ran, runQuadratics, type Setting } from './support/quadratics.js'

const same = ({ x }: Ran, other: Ran) => x.every((vector, i) => bytesOf(vector).equals(bytesOf(other.x[i]!)))
const everybody = { everybody: true }
const equal: Setting = { ...everybody, losses: [2, 2, 2, 2], rows: [64, 64, 64, 64], steps: [4, 4, 4, 4] }

const averaging: AlgorithmInput[] = [
  'fedavg',
  'fedswa',
  { name: 'fedprox', mu: parameters.mu },
  { name: 'scaffold', option: 1 },
  { name: 'scaffold', option: 2 },
  'fednova',
  { name: 'fednova', mu: parameters.mu },
  { name: 'feddyn', alpha: parameters.alpha },
]

for (const input of averaging) {
  const name = JSON.stringify(input)
  t.test(`${name}: four identical clients are one`, async (t) => {
    const four = await runQuadratics(input, equal)
    const one = await runQuadratics(input, { ...equal, clients: 1 })
    t.ok(same(four, one), 'to the bit')
    const heavier = await runQuadratics(input, { ...equal, clients: 1, rows: [7] })
    t.ok(same(heavier, one), 'whatever it weighs')
    const unequal = await runQuadratics(input, { ...equal, losses: [2, 2, 2, 1] })
    t.notOk(same(unequal, one), 'canary: one of them has other rows')
  })
}

t.test('answers add up one by one, in any order of arrival', async (t) => {
  for (const input of averaging) {
    const ran = await runQuadratics(input)
    t.ok(same(await runQuadratics(input, { turned: true }), ran), JSON.stringify(input))
  }
  let sum = 0
  const first: Algorithm = {
    name: 'first',
    about: 'weighs by arrival',
    source: '',
    emphasis: () => ++sum,
  }
  const ran = await runQuadratics(first)
  sum = 0
  t.notOk(same(await runQuadratics(first, { turned: true }), ran), 'canary: a rule that weighs by arrival')
})

t.test('one client of weight 1 gives its own update', async (t) => {
  const single = { ...equal, clients: 1, rows: [1] }
  const found: Float32Array[] = []
  const watched: Algorithm = {
    name: 'watched',
    about: 'keeps what the client came to',
    source: '',
    async work(kit) {
      const sent = await trainAndSend(kit)
      found.push(sent.trained.values)
      return sent
    },
  }
  const { x } = await runQuadratics(watched, single)
  t.equal(found.length, 5)
  for (const [round, adapter] of x.entries()) {
    const error = Math.max(...combination([1, -1], [adapter, found[round]!]).map(Math.abs))
    t.ok(error <= 2 ** -22, `round ${round + 1}: x + (y − x), rounded twice`)
  }
})

t.test('special cases are FedAvg to the bit', async (t) => {
  const fedavg = await runQuadratics('fedavg')
  t.ok(same(await runQuadratics('fedit'), fedavg), 'fedit is another name')
  t.ok(same(await runQuadratics({ name: 'fedprox', mu: 0 }), fedavg), 'fedprox without a pull')
  t.ok(same(await runQuadratics('fedswa'), fedavg), 'what fedswa goes on from')
  const four = { steps: [4, 4, 4, 4] }
  t.ok(same(await runQuadratics('fednova', four), await runQuadratics('fedavg', four)), 'fednova with equal steps')
  t.notOk(same(await runQuadratics('fednova'), fedavg), 'canary: with unequal ones')
  const first = async (input: AlgorithmInput, setting: Setting) => (await runQuadratics(input, setting)).x[0]!
  const uniform = await first('fedavg', { ...everybody, server: { weighting: 'uniform' } })
  t.ok(bytesOf(await first('scaffold', everybody)).equals(bytesOf(uniform)), 'scaffold’s first round: no control yet')
})

t.test('weights: rows, tokens, or all the same', async (t) => {
  // A quadratic's tokens are its steps.
  const byTokens = await runQuadratics('fedavg', { server: { weighting: 'tokens' } })
  t.ok(same(byTokens, await runQuadratics('fedavg', { rows: [3, 5, 2, 4] })), 'tokens')
  const uniform = await runQuadratics('fedavg', { server: { weighting: 'uniform' } })
  t.ok(same(uniform, await runQuadratics('fedavg', { rows: [9, 9, 9, 9] })), 'uniform')
  const rows = await runQuadratics('fedavg', { server: { weighting: 'rows' } })
  t.ok(same(rows, await runQuadratics('fedavg')), 'rows, which is what nothing said means')
  t.notOk(same(rows, uniform) || same(rows, byTokens) || same(uniform, byTokens), 'canary: three different things')
})

t.test('options that would make another algorithm of it are refused', async (t) => {
  const refused = async (input: AlgorithmInput, server: Setting['server'], message: RegExp) =>
    await t.rejects(runQuadratics(input, { server: server! }), { code: 'E_CONFIG', message })
  await refused('scaffold', { weighting: 'rows' }, /weighting: got 'rows', but algorithm scaffold .*'uniform' only/)
  await refused('feddyn', { weighting: 'tokens' }, /algorithm feddyn/)
  const momentum = serverOptimizerSchema.parse({ name: 'momentum' })
  await refused('feddyn', { serverOptimizer: momentum }, /serverOptimizer: got momentum .*feddyn has a step of its own/)
  await refused('feddyn', { serverOptimizer: { ...momentum, name: 'none', learningRate: 0.5 } }, /with rate 0\.5/)
  await runQuadratics('scaffold', { server: { weighting: 'uniform', serverOptimizer: momentum } })
  t.pass('what fits is taken')
})

t.test('reach: how far a constant gradient carries a client', async (t) => {
  t.equal(reach(7, 0, 0), 7, 'plain SGD: its steps')
  t.equal(reach(3, 0.5, 0), 1 + 1.5 + 1.75, 'momentum')
  t.equal(reach(3, 0, 0.25), 1 + 0.75 + 0.5625, 'a proximal term: a geometric sum')
  // m: 1, 0.5 + 0.75, 0.625 + 1 − 0.25·2.25
  t.equal(reach(3, 0.5, 0.25), 1 + 1.25 + 1.0625, 'both')
  t.equal(reach(0, 0.5, 0.25), 0)
})

t.test('canary: a rule that forgets to divide is seen', async (t) => {
  const sums: Algorithm = {
    name: 'sums',
    about: 'adds updates instead of averaging them',
    source: '',
    finish(closing) {
      for (let i = 0; i < closing.answers.length; i++) stepByMeans(closing)
    },
  }
  t.notOk(same(await runQuadratics(sums, equal), await runQuadratics(sums, { ...equal, clients: 1 })))
})
