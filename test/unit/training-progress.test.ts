/** Telling how far a long phase is: when, and with which numbers. The clock is the test's. */
import t from 'tap'
import type { ProgressEvent } from '../../src/training/events.js'
import { preparing, progressOf } from '../../src/training/progress.js'

let clock = 0
const { now } = performance
t.before(() => {
  performance.now = () => clock
})
t.teardown(() => {
  performance.now = now
})

t.test('nothing in the first second, then once a second, with the time that is left at this pace', async (t) => {
  const told: ProgressEvent[] = []
  const tell = progressOf('evaluating', (event) => told.push(event))
  clock = 999
  tell(1, 8)
  t.same(told, [])
  clock = 2000
  tell(2, 8)
  t.same(told, [{ type: 'progress', phase: 'evaluating', done: 2, total: 8, remaining: 6 }], '2 of 8 took 2 s')
  clock = 2999
  tell(3, 8)
  t.equal(told.length, 1)
  clock = 3000
  tell(4, 8)
  t.match(told[1], { done: 4, remaining: 3 })
})

t.test('rows that are made ready are told of, rows that are read are not', async (t) => {
  const told: ProgressEvent[] = []
  const { signal } = new AbortController()
  const options = preparing(signal, (event) => told.push(event))
  t.equal(options.signal, signal)
  const facts = { done: 3, rows: 3, tokens: 70, seconds: 2, remaining: 4 }
  options.onProgress!({ phase: 'reading', total: 9, ...facts })
  options.onProgress!({ phase: 'tokenizing', total: 9, ...facts })
  options.onProgress!({ phase: 'checking', total: null, ...facts })
  const { rows: _, ...expected } = { type: 'progress' as const, ...facts }
  t.same(told, [
    { ...expected, phase: 'tokenizing', total: 9 },
    { ...expected, phase: 'checking', total: 3 },
  ])
})
