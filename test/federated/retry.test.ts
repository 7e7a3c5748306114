/** Calls that are made again: which, after how long, and until when. */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { isRetryable, type Retrying, retrying } from '../../src/federated/link/retry.js'

/** Time that passes when it is slept. */
function fakeTime(random = 1) {
  const slept: number[] = []
  const controller = new AbortController()
  const options: Retrying = {
    signal: controller.signal,
    time: {
      now: () => slept.reduce((sum, wait) => sum + wait, 0),
      sleep: async (milliseconds) => {
        slept.push(milliseconds)
      },
    },
    random: () => random,
  }
  return { slept, controller, options }
}

/** Fails so often, then succeeds. */
function failing(times: number, error: unknown): () => Promise<string> {
  let left = times
  return async () => {
    if (left-- > 0) throw error
    return 'through'
  }
}

const unreachable = new FedloraError('E_UNREACHABLE', 'nobody answers')

t.test('what another time may mend is repeated, with full jitter', async (t) => {
  const whole = fakeTime()
  t.equal(await retrying(failing(8, unreachable), whole.options), 'through')
  t.same(whole.slept, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000], 'doubled, up to a minute')
  const half = fakeTime(0.5)
  await retrying(failing(3, unreachable), half.options)
  t.same(half.slept, [500, 1000, 2000], 'any part of it')
})

t.test('a server that asks for time gets it, and jitter on top', async (t) => {
  const { slept, options } = fakeTime()
  await retrying(failing(1, new FedloraError('E_RATE', 'later', { retryAfter: 7 })), options)
  t.same(slept, [8000])
  for (const retryAfter of [-1, Number.NaN, Number.POSITIVE_INFINITY, '9', null]) {
    const { slept, options } = fakeTime()
    await retrying(failing(1, new FedloraError('E_RATE', 'later', { retryAfter })), options)
    t.same(slept, [1000], `${retryAfter} is no time`)
  }
  const long = fakeTime(0)
  await retrying(failing(1, new FedloraError('E_RATE', 'later', { retryAfter: 1e9 })), long.options)
  t.same(long.slept, [600_000], 'nobody waits for years')
})

t.test('what no repeating mends is thrown at once', async (t) => {
  for (const code of ['E_AUTH', 'E_ROUND_CLOSED', 'E_CONFIG', 'E_RUN_OVER', 'E_BLOB_MISSING'] as const) {
    const { slept, options } = fakeTime()
    await t.rejects(retrying(failing(1, new FedloraError(code, 'no')), options), { code })
    t.same(slept, [])
  }
  for (const value of [new Error('E_UNREACHABLE'), undefined, null, 'E_UNREACHABLE', { code: 'E_UNREACHABLE' }]) {
    t.notOk(isRetryable(value))
  }
})

t.test('an abort ends it, before a call, in one, and in a wait', async (t) => {
  const reason = new Error('enough')
  const before = fakeTime()
  before.controller.abort(reason)
  await t.rejects(
    retrying(async () => t.fail('called'), before.options),
    reason,
  )
  const during = fakeTime()
  const call = async () => {
    during.controller.abort(reason)
    throw unreachable
  }
  await t.rejects(retrying(call, during.options), reason)
  t.same(during.slept, [])
  const waiting = fakeTime()
  waiting.options.time.sleep = async (_, signal) => {
    waiting.controller.abort(reason)
    signal.throwIfAborted()
  }
  await t.rejects(retrying(failing(9, unreachable), waiting.options), reason)
})
