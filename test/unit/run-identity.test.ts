/** Who a run is: what makes it another, what does not, and what is said of the first difference. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Described, describeSchedule, findIdentity, identityOf } from '../../src/run/identity.js'

const described: Described = {
  config: { targetModules: 'all-linear', rank: 4 } as Described['config'],
  targets: ['x.q_proj'],
  length: 64,
  model: {
    path: '/models/m',
    config: { family: 'llama', hidden: 8, layers: 2, vocabulary: 50 },
    options: { quantization: 'nf4', threads: 3 } as Described['model']['options'],
  },
}

t.test('it holds what decides the bits, and nothing that does not', async (t) => {
  const identity = identityOf('train', described, 'avx2', { options: { epochs: 2, unset: undefined } })
  const { origin, ...rest } = identity
  t.same(rest, {
    kind: 'train',
    version: 2,
    model: { family: 'llama', hidden: 8, layers: 2, vocabulary: 50, quantization: 'nf4' },
    adapter: { rank: 4, targets: ['x.q_proj'], length: 64 },
    options: { epochs: 2 },
  })
  t.match(origin, { modelPath: '/models/m', isa: 'avx2', fedlora: /^\d+\.\d+\.\d+/ })
  t.same([describeSchedule({ name: 'cosine' }), describeSchedule(undefined)], [{ name: 'cosine' }, null])
  const own = Object.assign((step: number) => step, { toString: () => '(step) => step' })
  t.same(describeSchedule(own), { function: '(step) => step' }, 'a function is its source')
})

t.test('a run goes on as the one it was: origin and length may differ, nothing else', async (t) => {
  const folder = t.testdir()
  const options = { epochs: 2, seed: 1 }
  const saved = identityOf('train', described, 'avx2', { options, inner: { rounds: 3 } })
  const write = (value: object) => writeFileSync(join(folder, 'config.json'), JSON.stringify(value))
  const find = (now = saved, mayDiffer: string[] = []) => findIdentity(folder, now, mayDiffer)
  t.equal(await find(), undefined, 'never written')
  write(saved)
  t.same(await find(), saved)
  t.same(await find({ ...saved, origin: { ...saved.origin, isa: 'scalar' } }), saved)
  const longer = identityOf('train', described, 'avx2', { options: { ...options, epochs: 5 }, inner: { rounds: 9 } })
  t.same(await find(longer, ['options.epochs', 'inner.rounds']), saved)
  t.same(await find(longer, ['options.epochs', 'inner.rounds', 'absent.field']), saved)
  await t.rejects(find(longer, ['inner.rounds']), {
    code: 'E_CHECKPOINT',
    message: /begun with options\.epochs = 2, now it is 5/,
    details: { field: 'options.epochs', saved: 2, now: 5 },
  })
  await t.rejects(find({ ...saved, kind: 'federation' }), {
    code: 'E_CHECKPOINT',
    message: /not the config of a federation/,
  })
  write({ ...saved, kind: 'federation' })
  await t.rejects(find(), { code: 'E_CHECKPOINT', message: /not the config of a training run/ })
  write({ ...saved, version: 1 })
  await t.rejects(find(), { code: 'E_VERSION', message: /version 1, expected 2/ })
})
