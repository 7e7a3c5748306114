/** How a run ends: failures as events, what could not be kept, who it was, and seconds by phase. */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { failureEvent, isAbortOf, keepDespite } from '../../src/run/failure.js'
import { describeSchedule, firstDifference, identityOf } from '../../src/run/identity.js'
import { Stopwatch } from '../../src/run/stopwatch.js'

const failing = (code: 'E_IO' | 'E_MEMORY', message: string) => async () => {
  throw new FedloraError(code, message)
}

t.test('a failure as an event', (t) => {
  t.same(failureEvent(new FedloraError('E_DATA', 'no rows', { rows: 0 })), {
    type: 'error',
    code: 'E_DATA',
    message: 'no rows',
    details: { rows: 0 },
  })
  t.match(failureEvent(new TypeError('oops')), { type: 'error', code: 'E_INTERNAL', message: 'oops' })
  t.match(failureEvent('text'), { code: 'E_INTERNAL', message: 'text' })
  t.end()
})

t.test('an abort is the caller’s own reason, and no failure of ours', (t) => {
  const context = (aborted: boolean, reason: unknown) => ({ aborted, signal: AbortSignal.abort(reason) })
  const reason = new Error('enough')
  t.ok(isAbortOf(context(true, reason), reason))
  t.notOk(isAbortOf(context(false, reason), reason), 'told to stop, not aborted')
  t.notOk(isAbortOf(context(true, reason), new Error('enough')))
  const ours = new FedloraError('E_IO', 'x')
  t.notOk(isAbortOf(context(true, ours), ours))
  t.end()
})

t.test('the first failure is told, with what could then not be kept; every work is tried', async (t) => {
  const done: number[] = []
  const work = async () => {
    done.push(1)
  }
  const first = new FedloraError('E_NONFINITE', 'NaN', { step: 4 })
  t.equal(await keepDespite(first, 'step 3', [work, work]), first)
  t.equal(done.length, 2)
  const told = await keepDespite(first, 'step 3', [failing('E_IO', 'disk'), work, failing('E_MEMORY', 'room')])
  t.equal(done.length, 3)
  t.match(told, {
    code: 'E_NONFINITE',
    message: 'NaN; and step 3 could not be kept: disk; room',
    details: { step: 4, notKept: ['disk', 'room'] },
    cause: first,
  })
  const abort = new Error('aborted')
  t.equal(await keepDespite(abort, 'step 3', [work]), abort)
  t.match(await keepDespite(abort, 'step 3', [failing('E_MEMORY', 'room'), failing('E_IO', 'disk')]), {
    code: 'E_MEMORY',
    message: 'step 3 could not be kept: room; disk',
    details: { notKept: ['room', 'disk'] },
    cause: abort,
  })
  const odd = async () => {
    throw new Error('odd')
  }
  t.match(await keepDespite(abort, 'step 3', [odd]), { code: 'E_IO', details: { notKept: ['odd'] } })
})

t.test('who a run is', (t) => {
  const adapter = {
    config: { rank: 4, targetModules: 'all-linear' },
    targets: ['q'],
    length: 12,
    model: {
      path: '/m',
      config: { family: 'llama', hidden: 8, layers: 2, vocabulary: 9, more: 1 },
      options: { quantization: 'nf4', threads: 2 },
    },
  }
  const { version, origin, ...identity } = identityOf('train', adapter, 'avx2', { totalSteps: 3, nothing: undefined })
  t.equal(version, 2)
  t.match(origin, { modelPath: '/m', isa: 'avx2', fedlora: /^\d+\.\d+\.\d+/ })
  t.same(identity, {
    kind: 'train',
    model: { family: 'llama', hidden: 8, layers: 2, vocabulary: 9, quantization: 'nf4' },
    adapter: { rank: 4, targets: ['q'], length: 12 },
    totalSteps: 3,
  })
  t.same(describeSchedule({ name: 'linear' }), { name: 'linear' })
  t.same(
    describeSchedule((step: number) => step),
    { function: '(step) => step' },
  )
  t.equal(describeSchedule(undefined), null)
  t.end()
})

t.test('the first difference between two values', (t) => {
  t.equal(firstDifference({ a: [1, { b: Number.NaN }] }, { a: [1, { b: Number.NaN }] }), undefined)
  t.same(firstDifference({ a: 1, b: { c: [1, 2] } }, { a: 1, b: { c: [1, 3] } }), { path: 'b.c.1', a: 2, b: 3 })
  t.same(firstDifference({}, { a: null }), { path: 'a', a: undefined, b: null })
  t.same(firstDifference({ a: 1 }, {}), { path: 'a', a: 1, b: undefined })
  t.same(firstDifference({ a: {} }, { a: null }), { path: 'a', a: {}, b: null })
  t.same(firstDifference({ a: {} }, { a: 1 }), { path: 'a', a: {}, b: 1 })
  t.same(firstDifference({ a: null }, { a: {} }), { path: 'a', a: null, b: {} })
  t.same(firstDifference(0, -0), { path: '', a: 0, b: -0 })
  t.end()
})

t.test('seconds by phase, by a clock of our own', async (t) => {
  let now = 1000
  const { now: original } = performance
  performance.now = () => now
  t.teardown(() => {
    performance.now = original
  })
  const watch = new Stopwatch(['train', 'encode'])
  t.same(watch.seconds, { train: 0, encode: 0 })
  const result = await watch.time('encode', async () => {
    now += 250
    return 'done'
  })
  t.equal(result, 'done')
  await watch.time('encode', () => {
    now += 500
  })
  watch.add('train', 3)
  watch.add('train', 4)
  now += 1000
  t.same(watch.seconds, { train: 7, encode: 0.75 })
  t.equal(watch.total, 1.75)
})
