/** Algorithms against their published equations on four quadratics: five rounds, partial cohorts, every number that is remembered. */
import t from 'tap'
import { z } from 'zod'
import type { ServerState } from '../../src/federated/algorithms/algorithm.js'
import { fednova } from '../../src/federated/algorithms/fednova.js'
import { fedswa } from '../../src/federated/algorithms/fedswa.js'
import { scaffold } from '../../src/federated/algorithms/scaffold.js'
import { combination } from '../../src/federated/algorithms/vectors.js'
import { bytesOf } from '../support/train.js'
import {
  distance,
  golden,
  kept,
  names,
  parameters,
  type Ran,
  runQuadratics,
  type Setting,
  serverVector,
  tolerance,
} from './support/quadratics.js'

const right = (found: readonly Float32Array[], name: string) => distance(found, name) <= tolerance
const same = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
  a.length === b.length && a.every((vector, i) => bytesOf(vector).equals(bytesOf(b[i]!)))

t.test('fedavg', async (t) => {
  const { x } = await runQuadratics('fedavg')
  t.ok(right(x, 'fedavg.x'))
  const uniform = await runQuadratics('fedavg', { server: { weighting: 'uniform' } })
  t.notOk(right(uniform.x, 'fedavg.x'), 'canary: plain means')
})

t.test('fedprox', async (t) => {
  const { x } = await runQuadratics({ name: 'fedprox', mu: parameters.mu })
  t.ok(right(x, 'fedprox.x'))
  const other = await runQuadratics({ name: 'fedprox', mu: 0.999 * parameters.mu! })
  t.notOk(right(other.x, 'fedprox.x'), 'canary: a slightly smaller μ')
})

for (const [option, name] of [
  [2, 'scaffold'],
  [1, 'scaffold1'],
] as const) {
  t.test(`scaffold, option ${option}`, async (t) => {
    const judge = (ran: Ran) => [
      right(ran.x, `${name}.x`),
      right(serverVector(ran, 'control'), `${name}.c`),
      right(kept(ran, 'control'), `${name}.c_k`),
    ]
    const ran = await runQuadratics({ name: 'scaffold', option })
    t.same(judge(ran), [true, true, true], 'model, control, controls')
    for (const [round, control] of serverVector(ran, 'control').entries()) {
      const controls = names.map((client) => ran.own[round]![client]!.control ?? new Float32Array(6))
      const sum = combination([1, 1, 1, 1, -4], [...controls, control])
      t.ok(Math.max(...sum.map(Math.abs)) <= tolerance, `round ${round + 1}: the controls sum to that of the server`)
    }
    const turned: typeof scaffold = {
      ...scaffold,
      options: z.strictObject({ option: z.literal([1, 2]).default(option) }),
      work: async (kit, options) =>
        await scaffold.work!({ ...kit, train: (plan) => kit.train(negated(plan)) }, options),
    }
    t.notOk(judge(await runQuadratics(turned))[0], 'canary: the correction turned round')
  })
}

const negated = <P extends { correction?: Float32Array }>(plan: P): P => ({
  ...plan,
  ...(plan.correction && { correction: combination([-1], [plan.correction]) }),
})

const novas: [name: string, mu: number, setting: Setting][] = [
  ['fednova', 0, {}],
  ['fednova_momentum', 0, { momentum: parameters.rho! }],
  ['fednova_prox', parameters.mu!, {}],
]
for (const [name, mu, setting] of novas) {
  t.test(name, async (t) => {
    const { x } = await runQuadratics({ name: 'fednova', mu }, setting)
    t.ok(right(x, `${name}.x`))
    const { emphasis: _, ...unnormalised } = {
      ...fednova,
      options: z.strictObject({ mu: z.number().default(mu) }),
    }
    t.notOk(right((await runQuadratics(unnormalised, setting)).x, `${name}.x`), 'canary: nothing divided')
    const short: typeof fednova = {
      ...fednova,
      options: z.strictObject({ mu: z.number().default(mu) }),
      finish: ({ step, mean }) => step(mean('adapter')),
    }
    t.notOk(right((await runQuadratics(short, setting)).x, `${name}.x`), 'canary: without τ')
  })
}

for (const [name, exact] of [
  ['feddyn', true],
  ['feddyn_sgd', false],
] as const) {
  t.test(name, async (t) => {
    const judge = (ran: Ran) => [
      right(ran.x, `${name}.x`),
      right(serverVector(ran, 'h'), `${name}.h`),
      right(kept(ran, 'h'), `${name}.h_k`),
    ]
    const ran = await runQuadratics({ name: 'feddyn', alpha: parameters.alpha }, { exact })
    t.same(judge(ran), [true, true, true], 'model, h, the clients’ h')
    const other = await runQuadratics({ name: 'feddyn', alpha: 0.999 * parameters.alpha! }, { exact })
    t.same(judge(other), [false, false, false], 'canary: another α')
  })
}

t.test('fedswa: the running mean of the server’s models', async (t) => {
  const walk = golden.get('swa.x')
  const { start, every } = JSON.parse(golden.metadata.parameters!).swa
  const [rounds, length] = walk.shape as [number, number]
  const average = (every: number) => {
    const adapter = new Float32Array(length)
    const state: ServerState = { vectors: { adapter }, numbers: {} }
    const fresh = fedswa.state!({ adapter } as Parameters<NonNullable<typeof fedswa.state>>[0], { start, every })
    Object.assign(state.vectors, fresh.vectors)
    Object.assign(state.numbers, fresh.numbers)
    return Array.from({ length: rounds }, (_, i) => {
      const step = () => adapter.set(walk.values.subarray(i * length, (i + 1) * length))
      const closing = { round: i + 1, rounds, state, travels: { adapter: [[0, length]] }, mean: () => adapter, step }
      fedswa.finish!(closing as never, { start, every })
      const averaged = state.numbers.averaged![0]! > 0
      t.equal(fedswa.result!(state, { every }), averaged ? state.vectors.average : adapter)
      return averaged ? state.vectors.average!.slice() : new Float32Array(length)
    })
  }
  t.ok(right(average(every), 'swa.mean'))
  t.notOk(right(average(every + 1), 'swa.mean'), 'canary: every third')

  const plain = await runQuadratics('fedavg')
  const swa = await runQuadratics('fedswa')
  t.ok(same(swa.x, plain.x), 'clients go on from the same models')
  t.ok(same(swa.result.slice(0, 3), plain.x.slice(0, 3)), 'before the second half, and at its first model')
  const mean = combination([1 / 3, 1 / 3, 1 / 3], plain.x.slice(2))
  t.ok(
    Math.max(...combination([1, -1], [mean, swa.result[4]!]).map(Math.abs)) <= tolerance,
    'the mean of the second half',
  )
})
