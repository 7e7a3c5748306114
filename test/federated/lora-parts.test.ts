/** Parts of the LoRA-aware records by hand: HetLoRA's tails, FedSVD's period, the error beside a residual that was cut, who keeps what. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { evaluate } from '../../src/evaluation/evaluate.js'
import type { ClientKit, TrainPlan } from '../../src/federated/algorithms/algorithm.js'
import { factorsIn } from '../../src/federated/algorithms/factors.js'
import { tailGradient } from '../../src/federated/algorithms/hetlora.js'
import { type AlgorithmInput, chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { residualFactors, residualFor } from '../../src/federated/algorithms/residual.js'
import { type SimulateOptions, simulate } from '../../src/federated/index.js'
import { freshAdapter, withDrawnB } from '../../src/federated/protocol/fresh-adapter.js'
import { partOf, whole } from '../../src/federated/protocol/space.js'
import { openClients } from '../../src/federated/simulate/clients.js'
import { Spaces } from '../../src/federated/simulate/spaces.js'
import { loadModel } from '../../src/model/load.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { norm, plainProduct } from '../support/lora-golden.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { lora } from './support/federation.js'
import { deltaOf, type FakeClient, noise, open, spaceAt } from './support/lora-round.js'

const server = spaceAt(4)
const clients: FakeClient[] = [
  { name: 'a', rows: 3, space: server, salt: 1 },
  { name: 'b', rows: 7, space: server, salt: 2 },
]

t.test('the gradient of the tails is that of finite differences', async (t) => {
  const values = noise(server.length, 1)
  const gamma = 0.6
  const tails = (x: Float64Array) =>
    server.modules.reduce((sum, { A, B, in: inputs, out }) => {
      const [a, b] = [[] as number[], [] as number[]]
      for (let i = 2 * inputs; i < 4 * inputs; i++) a.push(x[A.offset + i]!)
      for (let row = 0; row < out; row++) for (const r of [2, 3]) b.push(x[B.offset + 4 * row + r]!)
      return sum + norm(a) * norm(b)
    }, 0)
  const got = tailGradient(values, server, gamma)
  const step = 1e-6
  let worst = 0
  for (let i = 0; i < server.length; i++) {
    const at = (by: number) => tails(Float64Array.from(values, (value, j) => value + (j === i ? by : 0)))
    worst = Math.max(worst, Math.abs(got[i]! - (at(step) - at(-step)) / (2 * step)))
  }
  // Central differences of a function of size 1: rounding 1e-16 / step, curvature step²; the gradient is float32 of at most 1.
  t.ok(worst <= 1e-6, `${worst}`)
  t.ok(norm(got) > 0.5, 'canary: it is not zero')
  t.same(
    tailGradient(new Float32Array(server.length), server, gamma),
    new Float32Array(server.length),
    'no tails, no pull',
  )
})

t.test('HetLoRA’s pull is λ times that gradient, at the values of every step', async (t) => {
  const { algorithm } = chooseAlgorithm('hetlora')
  const from = noise(server.length, 1)
  const plans: TrainPlan[] = []
  const train = async (plan: TrainPlan) => {
    plans.push(plan)
    return { values: plan.from, loss: 1, steps: 1, updates: 1, tokens: 1 }
  }
  const kit = {
    given: { adapter: from },
    space: server,
    travels: { all: whole(server) },
    train,
  } as unknown as ClientKit
  await algorithm.work!(kit, { gamma: 0.5, lambda: 0.25 })
  const [plan] = plans
  const later = noise(server.length, 2)
  const pulls = [plan!.proximal!, plan!.afterStep!(1, () => later)!]
  for (const [i, values] of [from, later].entries()) {
    const { mu, anchor } = pulls[i]!
    const gradient = tailGradient(values, server, 0.5)
    const worst = Math.max(...values.map((value, j) => Math.abs(mu * (value - anchor[j]!) - 0.25 * gradient[j]!)))
    // The anchor is rounded to float32 beside values below 1/3.
    t.ok(worst <= 2 ** -25, `${worst}`)
  }
  await algorithm.work!(kit, { gamma: 0.5, lambda: 0 })
  t.same([plans[1]!.proximal, plans[1]!.afterStep], [undefined, undefined], 'without λ nothing pulls')
})

t.test('Fed-SB begins with no core where lora_B is zero, with I where there is something', async (t) => {
  const { algorithm } = chooseAlgorithm('fedsb')
  const core = (adapter: Float32Array) => [...algorithm.state!({ space: server, seed: 1, adapter }, {}).vectors!.core!]
  t.same(core(freshAdapter(server, 1, 1)), Array(32).fill(0))
  t.same(
    core(noise(server.length, 1)),
    Array.from({ length: 32 }, (_, i) => Number((i % 16) % 5 === 0)),
  )
})

t.test('FedSVD keeps lora_A for its period, then makes it orthonormal; the product stays', async (t) => {
  const federation = await open(t, { name: 'fedsvd', period: 2 }, server, clients)
  const A = (values: Float32Array) => server.modules.map((module) => [...factorsIn(values, module).A])
  const begun = A(federation.server.adapter)
  await federation.round()
  t.same(A(federation.server.adapter), begun)
  const { aggregationError } = await federation.round()
  t.notSame(A(federation.server.adapter), begun)
  t.ok(aggregationError! <= 1e-6)
  for (const module of server.modules) {
    const { A } = factorsIn(federation.server.adapter, module)
    const turned = Float32Array.from({ length: A.length }, (_, i) => A[(i % 4) * module.in + Math.floor(i / 4)]!)
    const gram = plainProduct(A, turned, [4, module.in, 4])
    const off = Math.max(...gram.map((value, i) => Math.abs(value - Number(i % 5 === 0))))
    t.ok(off <= 1e-6, `A·Aᵀ is I: ${off}`)
  }
})

t.test('the error beside a residual, grown and cut, by plain loops', async (t) => {
  for (const maxResidualRank of [4, 5, 100]) {
    const small = spaceAt(2)
    const both = clients.map((client) => ({ ...client, space: small }))
    const federation = await open(t, 'fedex', small, both, { maxResidualRank, begun: true })
    for (let round = 1; round <= 4; round++) {
      const before = structuredClone(federation.server.state)
      const { after, aggregationError, residuals } = await federation.round()
      t.same(residuals, [residualFor(before, small), residualFor(before, small)], 'clients train beside what was sent')
      let [missing, whole] = [0, 0]
      for (const [index, module] of small.modules.entries()) {
        const got = deltaOf(federation.server.adapter, small, index, federation.server.state)
        const frozen = residualFactors(before, small)[index]
        const old = frozen && plainProduct(frozen.B, frozen.A, [module.out, frozen.rank, module.in])
        const products = after.map((values) => deltaOf(values, small, index))
        const ideal = products[0]!.map((value, i) => 0.3 * value + 0.7 * products[1]![i]!)
        missing += norm(got.map((value, i) => value - (old?.[i] ?? 0) - ideal[i]!)) ** 2
        whole += norm(ideal) ** 2
      }
      const want = Math.sqrt(missing / whole)
      // Plain sums of float32 factors in double, and the same by the engine: what both miss is far below the rounding of the factors.
      t.ok(
        Math.abs(aggregationError! - want) <= 1e-9,
        `${maxResidualRank}, round ${round}: ${aggregationError}, ${want}`,
      )
      if (maxResidualRank < 6 && round === 4) t.ok(want > 1e-3, 'canary: something was cut')
    }
    const alone = await federation.round(both.slice(0, 1))
    t.ok(alone.aggregationError! <= 1e-6, 'one client leaves the residual as it is')
  }
})

t.test('a residual of some modules only: rank 0 where there is nothing', (t) => {
  const { modules } = server
  const ranks = modules.map((_, index) => (index === 1 ? 2 : 0))
  const { in: inputs, out } = modules[1]!
  const residual = noise(2 * (inputs + out), 5)
  const found = residualFor({ vectors: { residual }, numbers: { residualRanks: ranks } }, server)
  t.same(found?.ranks, ranks)
  const A = residual.subarray(0, 2 * inputs)
  const B = residual.subarray(2 * inputs).map((value) => value / modules[1]!.scaling)
  t.same(found?.values, Float32Array.of(...A, ...B))
  t.end()
})

t.test('fresh factors: uniform, of their own round and seed; B beside an A that stays', async (t) => {
  const first = freshAdapter(server, 7, 1)
  t.same(first, freshAdapter(server, 7, 1))
  for (const other of [freshAdapter(server, 7, 2), freshAdapter(server, 8, 1)]) t.notSame(other, first)
  const drawn = withDrawnB(first, server, 7)
  for (const { A, B, in: inputs, out } of server.modules) {
    const part = (values: Float32Array, { offset, length }: typeof A) => values.subarray(offset, offset + length)
    t.same(part(drawn, A), part(first, A))
    t.ok(part(first, B).every((b) => b === 0))
    for (const [values, side] of [
      [part(first, A), inputs],
      [part(drawn, B), out],
    ] as const) {
      const most = Math.max(...values.map(Math.abs)) * Math.sqrt(side)
      t.ok(most <= 1 && most > 0.7 && Math.min(...values) < 0, `${most}`)
    }
  }
})

t.test('HetLoRA wants one rank; who makes factors anew keeps nothing of a message', async (t) => {
  const uneven = { ...server, modules: server.modules.map((module, i) => ({ ...module, rank: 4 - i })) }
  t.throws(() => chooseAlgorithm('hetlora').algorithm.state!({ space: uneven, seed: 1, adapter: noise(4, 1) }, {}), {
    code: 'E_CONFIG',
    message: /rank 4 at layers\.0\.q and 3 at layers\.0\.down/,
  })
  for (const name of ['flora', 'flexlora', 'raflora', 'fedsvd']) {
    t.equal(chooseAlgorithm(name).algorithm.errorFeedback, false, name)
  }
  t.same(chooseAlgorithm('rolora').algorithm.travels!({ space: server, round: 2 }, {}), {
    lora_A: partOf(server, 'lora_A'),
  })
})

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())
const rows = await Promise.all([0, 1].map((i) => tokenRows(6, 263, 17 * i)))
const held = await tokenRows(4, 263, 9)

async function run(algorithm: AlgorithmInput, variation: Partial<SimulateOptions>) {
  return await simulate({
    ...{ model, adapter: lora, algorithm, rounds: 2, seed: 5 },
    clients: rows.map((train, i) => ({ name: `c${i}`, train, test: held })),
    local: { steps: 2, batchSize: 2, learningRate: 2e-2 },
    ...variation,
  })
}

t.test('clients are measured beside the residual, and fine-tuned beside it', async (t) => {
  const recipe = { batchSize: 8, shuffle: false } as const
  const { adapter, clientEvaluations } = await run('flora', {
    local: { ...recipe, steps: 2, learningRate: 2e-2 },
    evaluate: { of: 'both', fineTune: { steps: 2, learningRate: 5e-2 } },
  })
  using _ = adapter
  const { loss } = await evaluate(adapter, held)
  t.equal(clientEvaluations[0]!.clients.each[0]!.loss, loss)
  const tuned = clientEvaluations[1]!.clients.each[0]!.loss
  const byHand = async () => {
    using copy = adapter.clone()
    await train(copy, rows[0]!, { ...recipe, maxSteps: 2, learningRate: 5e-2, schedule: 'constant' })
    copy.setResidual(residual)
    return (await evaluate(copy, held)).loss
  }
  const residual = adapter.residual()
  t.equal(tuned, await byHand())
  adapter.setResidual(null)
  t.not(tuned, await byHand(), 'canary: trained without it and measured with it, they differ')
  t.notOk(Math.abs((await evaluate(adapter, held)).loss - loss) <= 1e-3 * loss, 'canary: without it they would differ')
})

t.test('what a run keeps: residuals of messages where factors stay, nothing where they are made anew', async (t) => {
  for (const [algorithm, keeps] of [
    ['fedex', true],
    ['flexlora', false],
  ] as const) {
    const folder = temporaryFolder('keeps')
    const { adapter } = await run(algorithm, { outputDir: folder, upload: { codec: 'int4' } })
    adapter.dispose()
    t.equal(existsSync(join(folder, 'own')), keeps, algorithm)
  }
})

t.test('a client that is pruned keeps its scale, whatever it was', async (t) => {
  for (const rsLora of [false, true]) {
    using adapter = model.createAdapter({ ...lora, rsLora })
    const own = rows.map((train, i) => ({ name: `c${i}`, train, rank: 4 - i, alpha: 5 * (i + 1) }))
    const given = [...own, { name: 'c2', train: rows[0]! }]
    const opened = await openClients(given, model)
    const spaces = new Spaces(model, adapter, opened, chooseAlgorithm('hetlora'))
    const before = given.map((_, index) => spaces.of(index))
    spaces.ranks = () => 2
    for (const [index, { modules }] of before.entries()) {
      const now = spaces.of(index).modules[0]!
      t.equal(now.rank, 2)
      t.ok(Math.abs(now.scaling - modules[0]!.scaling) <= 1e-12, `${now.scaling}, ${modules[0]!.scaling}`)
    }
    t.equal(new Set(before.map(({ modules }) => modules[0]!.scaling)).size, 3, 'canary: three scales')
    spaces.ranks = () => undefined
    for (const [index, space] of before.entries()) t.equal(spaces.of(index), space)
  }
})
