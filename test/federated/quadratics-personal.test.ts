/** Algorithms that give clients adapters of their own, against their published equations on four quadratics. */
import t from 'tap'
import type { Algorithm, ClientKit, TrainPlan } from '../../src/federated/algorithms/algorithm.js'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { gather } from '../../src/federated/protocol/space.js'
import { bytesOf } from '../support/train.js'
import {
  distance,
  golden,
  kept,
  names,
  parameters,
  type Ran,
  runQuadratics,
  space,
  tolerance,
} from './support/quadratics.js'

const right = (found: readonly Float32Array[], name: string) => distance(found, name) <= tolerance
const same = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
  a.length === b.length && a.every((vector, i) => bytesOf(vector).equals(bytesOf(b[i]!)))

const x0 = Float32Array.from(golden.get('x0').values)
/** What clients keep, and the beginning in the place of what they have not kept yet. */
function since(ran: Ran, name: string, beginning: Float32Array): Float32Array[] {
  return kept(ran, name, beginning.length).map((all, round) => {
    for (const [client, key] of names.entries()) {
      if (ran.own[round]![key]![name] === undefined) all.set(beginning, client * beginning.length)
    }
    return all
  })
}

/** The record with another way to train. */
function withTraining(
  name: string,
  options: object,
  change: (kit: ClientKit, plan: TrainPlan) => TrainPlan,
): Algorithm {
  const { algorithm, options: chosen } = chooseAlgorithm({ name, ...options })
  return {
    ...algorithm,
    options: undefined,
    ...(algorithm.finish && { finish: (closing: never) => algorithm.finish!(closing, chosen) }),
    ...(algorithm.travels && { travels: (turn: never) => algorithm.travels!(turn, chosen) }),
    ...(algorithm.receives && { receives: (turn: never) => algorithm.receives!(turn, chosen) }),
    work: async (kit) => await algorithm.work!({ ...kit, train: (plan) => kit.train(change(kit, plan)) }, chosen),
  } as Algorithm
}

t.test('ditto', async (t) => {
  const of = (lambda: number) => runQuadratics({ name: 'ditto', lambda })
  const ran = await of(parameters.lambda!)
  t.ok(right(ran.x, 'ditto.x'))
  t.ok(right(since(ran, 'personal', x0), 'ditto.v'))
  t.ok(same(ran.x, (await runQuadratics('fedavg')).x), 'the shared adapter is FedAvg’s to the bit')
  t.notOk(right(since(await of(0.999 * parameters.lambda!), 'personal', x0), 'ditto.v'), 'canary: another λ')
  // Everybody takes part in the first of the golden rounds.
  const begun: Float32Array[] = []
  const late = withTraining('ditto', {}, (_kit, plan) => {
    if (plan.label === 'personal') begun.push(plan.from)
    return plan
  })
  const initial = Float32Array.from([1, 2, 3, 4, 5, 6])
  const train = async (plan: TrainPlan) => ({ values: plan.from, loss: 0, steps: 1, updates: 1, tokens: 1 })
  const kit = { initial, given: { adapter: x0 }, own: {}, travels: { adapter: [[0, 6]] }, steps: 1, train }
  await late.work!(kit as never, {})
  t.same(begun, [initial], 'who comes late begins where the federation began')
  const { own } = await runQuadratics({ name: 'ditto', lambda: 0, steps: 3 })
  t.notSame(own, (await runQuadratics({ name: 'ditto', lambda: 0 })).own, 'steps of its own')
})

t.test('pfedme', async (t) => {
  const options = {
    lambda: parameters.lambda,
    innerSteps: parameters.pfedme_inner,
    sharedLearningRate: parameters.pfedme_outer_lr,
    beta: parameters.pfedme_beta,
  }
  // The golden file has zeros where a client did not take part in the round; what it kept stays.
  const inRound = (ran: Ran) =>
    kept(ran, 'personal').map((all, round) => {
      for (const client of names.keys()) {
        if (golden.get('cohort').values[round * names.length + client] === 0) all.fill(0, 6 * client, 6 * client + 6)
      }
      return all
    })
  const judge = (ran: Ran) => [right(ran.x, 'pfedme.x'), right(inRound(ran), 'pfedme.theta')]
  t.same(judge(await runQuadratics({ name: 'pfedme', ...options })), [true, true])
  for (const name of ['lambda', 'sharedLearningRate', 'beta'] as const) {
    const other = { ...options, [name]: 0.999 * options[name]! }
    t.notOk(judge(await runQuadratics({ name: 'pfedme', ...other }))[0], `canary: another ${name}`)
  }
  const still = withTraining('pfedme', options, (_, { afterStep: __, ...plan }) => plan)
  t.same(judge(await runQuadratics(still)), [false, false], 'canary: w stays where it was')
})

t.test('fedrep', async (t) => {
  const body = (ran: Ran) => ran.x.map((x) => x.subarray(0, 4))
  const judge = (ran: Ran) => [
    right(body(ran), 'fedrep.body'),
    right(since(ran, 'local', x0.subarray(4)), 'fedrep.heads'),
  ]
  const ran = await runQuadratics('fedrep')
  t.same(judge(ran), [true, true])
  t.ok(
    ran.x.every((x) => bytesOf(x.slice(4)).equals(bytesOf(x0.slice(4)))),
    'the server’s head stays as it began',
  )
  t.same(
    judge(await runQuadratics({ name: 'fedrep', local: ['m.lora_B'], together: true })),
    [false, false],
    'canary: FedPer',
  )
  const { local: _, ...other } = { local: 0, name: 'fedrep', headSteps: 2 }
  t.notOk(judge(await runQuadratics(other))[1], 'canary: other steps on the head')
  const bodyFirst = withTraining('fedrep', {}, (_, plan) => ({ ...plan, trainable: [[0, 6]] }))
  t.same(judge(await runQuadratics(bodyFirst)), [false, false], 'canary: both parts in both trainings')
})

t.test('fedsa is fedrep of lora_B, both parts at once', async (t) => {
  const fedsa = await runQuadratics('fedsa')
  const fedper = await runQuadratics({ name: 'fedrep', together: true })
  t.ok(same(fedsa.x, fedper.x))
  t.same(fedsa.own, fedper.own)
  const [first, second] = ['client-0', 'client-1'].map((name) => fedsa.own.at(-1)![name]!.local!)
  t.notOk(bytesOf(first!).equals(bytesOf(second!)), 'each its own B')
})

t.test('what serves a client: the shared one before its first round, then its own parts', async (t) => {
  const adapter = Float32Array.from([1, 2, 3, 4, 5, 6])
  const mine = Float32Array.from([7, 8, 9, 10, 11, 12])
  const initial = new Float32Array(6)
  const served = (input: Parameters<typeof chooseAlgorithm>[0], own: Record<string, Float32Array>) => {
    const { algorithm, options } = chooseAlgorithm(input)
    return [...algorithm.personal!({ client: 'a', space, initial, given: { adapter }, numbers: {}, own }, options)]
  }
  for (const name of ['ditto', 'pfedme']) {
    t.same(served(name, {}), [...adapter])
    t.same(served(name, { personal: mine }), [...mine])
  }
  for (const name of ['fedrep', 'fedsa']) {
    t.same(served(name, {}), [...adapter])
    t.same(served(name, { local: mine.slice(4) }), [1, 2, 3, 4, 11, 12])
  }
  t.same(served({ name: 'fedrep', local: ['lora_A'] }, { local: gather(mine, [[0, 4]]) }), [7, 8, 9, 10, 5, 6])
  t.same([...adapter], [1, 2, 3, 4, 5, 6], 'what was given stays as it was')
})

t.test('four identical clients are one, to the bit', async (t) => {
  const equal = { everybody: true, losses: [2, 2, 2, 2], rows: [64, 64, 64, 64], steps: [4, 4, 4, 4] }
  for (const name of ['ditto', 'pfedme', 'fedrep', 'fedsa']) {
    const four = await runQuadratics({ name }, equal)
    const one = await runQuadratics({ name }, { ...equal, clients: 1 })
    t.ok(same(four.x, one.x), name)
    t.same(
      four.own.map((round) => round['client-3']),
      one.own.map((round) => round['client-0']),
      `${name}: what they keep`,
    )
    const unequal = await runQuadratics({ name }, { ...equal, losses: [2, 2, 2, 1] })
    t.notOk(same(unequal.x, one.x), `canary: ${name} of clients that differ`)
  }
})

t.test('options, from their bounds on', async (t) => {
  const accepts = (input: { name: string } & Record<string, unknown>) => t.doesNotThrow(() => chooseAlgorithm(input))
  const refuses = (input: { name: string } & Record<string, unknown>, path: RegExp) =>
    t.throws(() => chooseAlgorithm(input), { code: 'E_CONFIG', message: path })
  accepts({ name: 'fedrep', local: ['q'], headSteps: 1 })
  refuses({ name: 'fedrep', local: [] }, /local/)
  refuses({ name: 'fedrep', local: [''] }, /local/)
  refuses({ name: 'fedrep', headSteps: 0 }, /headSteps/)
  accepts({ name: 'ditto', lambda: 0, steps: 1 })
  refuses({ name: 'ditto', lambda: -1 }, /lambda/)
  refuses({ name: 'ditto', steps: 0 }, /steps/)
  accepts({ name: 'pfedme', innerSteps: 1 })
  refuses({ name: 'pfedme', innerSteps: 0 }, /innerSteps/)
  for (const name of ['lambda', 'sharedLearningRate', 'beta']) refuses({ name: 'pfedme', [name]: 0 }, new RegExp(name))
  refuses({ name: 'fedsa', local: ['lora_A'] }, /local/)
  t.same(chooseAlgorithm('pfedme').options, { lambda: 15, innerSteps: 5, sharedLearningRate: 0.005, beta: 1 })
  t.same(chooseAlgorithm('ditto').options, { lambda: 0.1 })
  t.same(chooseAlgorithm('fedrep').options, { local: ['lora_B'], together: false })
})
