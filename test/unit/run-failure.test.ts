/** How runs end that do not end well: which failure is told, and what of the others. */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { failureEvent, isAbortOf, keepDespite } from '../../src/run/failure.js'

const coded = new FedloraError('E_NONFINITE', 'the loss is not finite', { step: 3 })

t.test('a failure as an event', async (t) => {
  const event = { type: 'error', code: 'E_NONFINITE', message: 'the loss is not finite', details: { step: 3 } }
  t.same(failureEvent(coded), event)
  t.match(failureEvent(new Error('a bug')), { type: 'error', code: 'E_INTERNAL', message: 'a bug' })
  t.match(failureEvent('thrown text'), { code: 'E_INTERNAL', message: 'thrown text' })
})

t.test('an abort is the caller’s own reason, after the caller’s signal, and no error of ours', async (t) => {
  const reason = new Error('enough')
  const { signal } = new AbortController()
  const aborted = AbortSignal.abort(reason)
  t.equal(isAbortOf({ aborted: true, signal: aborted }, reason), true)
  t.equal(isAbortOf({ aborted: false, signal: aborted }, reason), false, 'ended by another way')
  t.equal(isAbortOf({ aborted: true, signal: aborted }, new Error('enough')), false, 'another error')
  t.equal(isAbortOf({ aborted: true, signal }, reason), false)
  t.equal(isAbortOf({ aborted: true, signal: AbortSignal.abort(coded) }, coded), false, 'one of ours is a failure')
})

t.test('everything that can be kept is kept; the first failure stays the message', async (t) => {
  const tried: string[] = []
  const work = (name: string, error?: Error) => async () => {
    tried.push(name)
    if (error) throw error
  }
  const full = new FedloraError('E_IO', 'the disk is full')
  t.equal(await keepDespite(coded, 'step 2', [work('a'), work('b')]), coded)
  t.same(tried.splice(0), ['a', 'b'])
  const both = (await keepDespite(coded, 'step 2', [
    work('a', full),
    work('b'),
    work('c', new Error('gone')),
  ])) as FedloraError
  t.same(tried.splice(0), ['a', 'b', 'c'])
  t.equal(both.code, 'E_NONFINITE')
  t.equal(both.message, 'the loss is not finite; and step 2 could not be kept: the disk is full; gone')
  t.same(both.details, { step: 3, notKept: ['the disk is full', 'gone'] })
  t.equal(both.cause, coded)
  const abort = new Error('enough')
  const lost = (await keepDespite(abort, 'step 2', [work('a', full)])) as FedloraError
  t.match(lost, { code: 'E_IO', message: 'step 2 could not be kept: the disk is full', cause: abort })
  const other = new FedloraError('E_DISPOSED', 'gone')
  t.match(await keepDespite(abort, 'step 2', [work('a', other)]), { code: 'E_DISPOSED' }, 'its own code')
  t.match(await keepDespite(abort, 'step 2', [work('a', new Error('x'))]), { code: 'E_IO' }, 'else that of the disk')
})
