/** Runs in lockstep: when a common step begins, what an abort or a failure of one of them means for the others. */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import type { NativeModel, NativeSession, SessionStep, StepOutcome } from '../../src/native/binding.js'
import { alone, Lockstep, type StepRequest } from '../../src/training/stepper.js'

type Answer = (names: string[]) => Promise<StepOutcome[]>

const name = (session: unknown) => (session as { name: string }).name
const done = (tokens: number): StepOutcome => ({
  ...{ loss: 1, gradNorm: 2, tokens, supervised: tokens },
  ...{ examples: 0, clipped: 0, cancelled: false },
})

/** Milliseconds; every pass takes six seconds. */
let clock = 500
const { now } = performance
t.before(() => {
  performance.now = () => clock
})
t.teardown(() => {
  performance.now = now
})

/** A model that notes who steps with whom, and sessions that note who was told to stop. */
function makeTeam(members: number, answer: Answer = async (names) => names.map((_, i) => done(i + 1))) {
  const passes: string[] = []
  const cancelled: string[] = []
  const model = {
    async stepTogether(steps: SessionStep[], mostTokens: number) {
      t.equal(mostTokens, 99)
      const names = steps.map(({ session }) => name(session))
      passes.push(names.join('+'))
      await new Promise((resolve) => setImmediate(resolve))
      clock += 6000
      return await answer(names)
    },
  } as unknown as NativeModel
  const request = (who: string, signal = new AbortController().signal): StepRequest => ({
    model,
    session: { name: who, cancel: () => cancelled.push(who) } as unknown as NativeSession,
    batches: [],
    learningRate: 1,
    signal,
  })
  return { team: new Lockstep(members, 99), request, passes, cancelled }
}

t.test('a common step begins when every member waits, and seconds are shared by tokens', async (t) => {
  const { team, request, passes } = makeTeam(3)
  const a = team.step(request('a'))
  const b = team.step(request('b'))
  await new Promise((resolve) => setImmediate(resolve))
  t.same(passes, [], 'two of three')
  const steps = await Promise.all([a, b, team.step(request('c'))])
  t.same(passes, ['a+b+c'])
  t.same(
    steps.map(({ tokens }) => tokens),
    [1, 2, 3],
  )
  t.same(
    steps.map(({ seconds }) => seconds),
    [1, 2, 3],
    'six seconds of six tokens',
  )
})

t.test('the others go on when a member leaves, and wait for one that begins anew', async (t) => {
  const { team, request, passes } = makeTeam(2)
  const waiting = team.step(request('a'))
  await team.step(request('b')).then(() => team.leave())
  await waiting
  await team.step(request('a'))
  t.same(passes, ['a+b', 'a'])
})

t.test('who is aborted while it waits is cancelled at once; the rest step without it when it leaves', async (t) => {
  const { team, request, passes, cancelled } = makeTeam(2)
  const controller = new AbortController()
  const gone = team.step(request('a', controller.signal))
  controller.abort()
  t.match(await gone, { cancelled: true, tokens: 0 })
  const left = team.step(request('b'))
  team.leave()
  t.match(await left, { cancelled: false })
  t.match(await team.step(request('c', AbortSignal.abort())), { cancelled: true }, 'and one that comes aborted')
  t.same([passes, cancelled], [['b'], []])
})

t.test('an abort in mid-step stops the pass; who was not meant begins the same step again', async (t) => {
  const controller = new AbortController()
  const { team, request, passes, cancelled } = makeTeam(2, async (names) => {
    if (names.length === 1) return [done(4)]
    controller.abort()
    return names.map(() => ({ ...done(0), cancelled: true }))
  })
  const a = team.step(request('a', controller.signal)).then((result) => {
    team.leave()
    return result
  })
  t.match(await team.step(request('b')), { cancelled: false, tokens: 4 })
  t.match(await a, { cancelled: true })
  t.same([passes, cancelled], [['a+b', 'b'], ['a']])
})

t.test('a failure is its own; a failure of the call is everybody’s', async (t) => {
  const diverged = Object.assign(new Error('the loss is not finite'), { code: 'E_NONFINITE' as const })
  const own = makeTeam(2, async () => [done(1), { ...done(1), error: diverged }])
  const [a, b] = await Promise.allSettled([own.team.step(own.request('a')), own.team.step(own.request('b'))])
  t.equal(a.status, 'fulfilled')
  t.match(b, { status: 'rejected', reason: { name: 'FedloraError', code: 'E_NONFINITE', message: diverged.message } })
  const all = makeTeam(2, async () => {
    throw new FedloraError('E_DISPOSED', 'the model was disposed')
  })
  const both = await Promise.allSettled([all.team.step(all.request('a')), all.team.step(all.request('b'))])
  t.match(both, [
    { status: 'rejected', reason: { code: 'E_DISPOSED' } },
    { status: 'rejected', reason: { code: 'E_DISPOSED' } },
  ])
})

t.test('canary: a team of one never waits', async (t) => {
  const { team, request, passes } = makeTeam(1)
  await team.step(request('a'))
  await team.step(request('b'))
  t.same(passes, ['a', 'b'])
})

t.test('alone: the step of the session itself, its own seconds, stopped by its own signal', async (t) => {
  const controller = new AbortController()
  let cancels = 0
  const session = {
    cancel: () => cancels++,
    async step(batches: unknown, learningRate: number) {
      t.same([batches, learningRate], [[], 1])
      clock += 1500
      controller.abort()
      return done(4)
    },
  } as unknown as NativeSession
  const { request } = makeTeam(1)
  const step = await alone.step({ ...request('a', controller.signal), session })
  t.same(step, { ...done(4), seconds: 1.5 })
  t.equal(cancels, 1)
  const later = new AbortController()
  await alone.step({ ...request('a', later.signal), session })
  later.abort()
  t.equal(cancels, 1, 'a signal that fires after the step stops nothing')
})
