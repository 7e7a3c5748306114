/** How an algorithm is named, its options with their defaults and bounds; and what a record leaves to the defaults. */
import t from 'tap'
import type { Algorithm, Trained } from '../../src/federated/algorithms/algorithm.js'
import {
  addUpdates,
  placeReceived,
  rangesOfTravel,
  together,
  updatesOf,
} from '../../src/federated/algorithms/defaults.js'
import { algorithms, chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { scaffold } from '../../src/federated/algorithms/scaffold.js'
import { partOf } from '../../src/federated/protocol/space.js'
import { space } from './support/quadratics.js'

t.test('options and their defaults', async (t) => {
  const options = (name: string) => chooseAlgorithm(name).options
  t.same(options('fedavg'), { padding: 'none' })
  t.same(options('fedprox'), { mu: 0.01 })
  t.same(options('scaffold'), {}, 'scaffold’s is chosen by the optimiser')
  t.same(options('fednova'), { mu: 0 })
  t.same(options('feddyn'), { alpha: 0.01 })
  t.same(options('fedswa'), { every: 1 })
  t.same(options('fedem'), { components: 3 })
  t.same(options('fedkseed'), { seeds: 4096, epsilon: 1e-3 })
  t.same(options('fedmezo'), { epsilon: 1e-3 })
  t.same(options('fedsb'), {})
  t.equal(chooseAlgorithm().algorithm, algorithms.fedavg)
  t.equal(chooseAlgorithm('fedit').algorithm, algorithms.fedavg)
})

t.test('bounds', async (t) => {
  const refused = (input: { name: string }, message: RegExp) =>
    t.throws(() => chooseAlgorithm(input), { code: 'E_CONFIG', message }, JSON.stringify(input))
  refused({ name: 'fedprox', mu: -0.1 } as never, /algorithm fedprox: mu/)
  refused({ name: 'fednova', mu: -0.1 } as never, /algorithm fednova: mu/)
  refused({ name: 'scaffold', option: 3 } as never, /algorithm scaffold: option/)
  refused({ name: 'feddyn', alpha: 0 } as never, /algorithm feddyn: alpha/)
  refused({ name: 'fedswa', start: 0 } as never, /algorithm fedswa: start/)
  refused({ name: 'fedswa', every: 0 } as never, /algorithm fedswa: every/)
  refused({ name: 'fedem', components: 1 } as never, /algorithm fedem: components/)
  refused({ name: 'fedkseed', seeds: 0 } as never, /algorithm fedkseed: seeds/)
  refused({ name: 'fedmezo', epsilon: 0 } as never, /algorithm fedmezo: epsilon/)
  refused({ name: 'toString' }, /got "toString", known are fedavg/)
  refused({ name: '', about: 'a record' } as never, /a record needs a name/)
  t.same(chooseAlgorithm({ name: 'fedprox', mu: 0 }).options, { mu: 0 }, 'canary: what is at the bound is taken')
})

t.test('every record says what it is for, and where it comes from', async (t) => {
  for (const [name, { about, source, name: own }] of Object.entries(algorithms)) {
    t.equal(own, name)
    t.match(about, /^[^.]{20,}$/, `${name}: a sentence`)
    t.match(source, /\d{4}/, `${name}: a year, or a number by which the work is found`)
  }
})

t.test('a record of one’s own', async (t) => {
  const record: Algorithm = { name: 'mine', about: '', source: '' }
  const chosen = chooseAlgorithm(record)
  t.equal(chosen.algorithm, record)
  t.same(chosen.options, {})
  for (const key of ['about', 'work', 'finish', 'travels', 'state', 'source']) {
    const given = { name: 'fedavg', [key]: () => ({}) } as unknown as Algorithm
    t.equal(chooseAlgorithm(given).algorithm, given, `${key} makes a record of it, whatever its name`)
  }
})

t.test('names that configurations use', async (t) => {
  const names = `fedavg fedprox scaffold fednova feddyn fedswa ditto pfedme fedrep fedsa ffa rolora flora fedex flexlora hetlora raflora
    florana lorafair fedsvd fedkseed fedmezo`
  for (const name of names.split(/\s+/)) t.equal(algorithms[name]?.name, name)
})

t.test('scaffold: a client that took no step has moved by nothing', async (t) => {
  const x = Float32Array.of(1, 2)
  const control = Float32Array.of(3, 4)
  const trained: Trained = { values: x, loss: null, steps: 2, updates: 0, tokens: 0 }
  const kit = { given: { adapter: x, control }, own: { control }, learningRate: 0.1, train: async () => trained }
  const { vectors, keep } = await scaffold.work!(kit as never, { option: 2 })
  t.same(vectors, { adapter: Float32Array.of(0, 0), control: Float32Array.of(-3, -4) })
  t.same(keep, { control: Float32Array.of(0, 0) })
})

t.test('scaffold: its control is a gradient with either optimiser', async (t) => {
  const x = Float32Array.of(1, 2)
  const given = { adapter: x, control: Float32Array.of(0, 0) }
  const trained: Trained = { values: Float32Array.of(0.5, 2.5), loss: null, steps: 1, updates: 1, tokens: 1 }
  const gradient = Float32Array.of(0.01, -0.02)
  const controlOf = async (optimizer: 'adamw' | 'sgd') => {
    const kit = {
      given,
      own: {},
      learningRate: 0.5,
      local: { optimizer },
      train: async () => trained,
      gradient: async () => gradient,
    }
    return (await scaffold.work!(kit as never, {})).keep!.control
  }
  t.same(await controlOf('sgd'), Float32Array.of(1, -1), 'SGD: its steps over the rate')
  t.same(await controlOf('adamw'), gradient, 'AdamW: asked for')
})

t.test('what travels: updates, and the adapter that they make', async (t) => {
  const before = Float32Array.of(1, 2, 3, 4, 5, 6)
  const after = Float32Array.of(2, 4, 6, 8, 10, 12)
  const travels = { heads: partOf(space, 'lora_B'), first: [[0, 1]] as const }
  const updates = updatesOf(travels, before, after)
  t.same(updates, { heads: Float32Array.of(5, 6), first: Float32Array.of(1) })
  t.same(rangesOfTravel(travels), [
    [0, 1],
    [4, 6],
  ])
  const adapter = before.slice()
  addUpdates(travels, adapter, updates)
  t.same(adapter, Float32Array.of(2, 2, 3, 4, 10, 12))
  addUpdates(travels, adapter, { first: Float32Array.of(-2) })
  t.same(adapter, Float32Array.of(0, 2, 3, 4, 10, 12), 'what did not come stays')
  const receives: Algorithm = { name: 'part', about: '', source: '', receives: () => partOf(space, 'lora_B') }
  const received = placeReceived(chooseAlgorithm(receives), { space, round: 1 }, before, Float32Array.of(7, 8))
  t.same(received, Float32Array.of(1, 2, 3, 4, 7, 8))
  t.same(before, Float32Array.of(1, 2, 3, 4, 5, 6), 'the adapter of the beginning is not changed')
})

t.test('several trainings as one', async (t) => {
  const values = Float32Array.of(1)
  const training = (loss: number | null, steps: number, tokens: number): Trained => ({
    values: Float32Array.of(0),
    loss,
    steps,
    updates: loss === null ? 0 : steps - 1,
    tokens,
  })
  const all = together([training(2, 3, 10), training(4, 2, 30), training(null, 1, 5)], values)
  t.same(all, { values, loss: 3.5, steps: 6, updates: 3, tokens: 45 }, 'the loss by the tokens of those that learnt')
  t.equal(together([training(null, 1, 5)], values).loss, null)
})
