/** A run as its user sees it: iterated, awaited, stopped, aborted. */
import t from 'tap'
import { Run, type RunContext } from '../../src/run/run.js'

async function count(context: RunContext<number>, to: number): Promise<number> {
  for (let i = 1; i <= to; i++) {
    await new Promise((resolve) => setImmediate(resolve))
    if (context.signal.aborted) {
      if (context.aborted) throw context.signal.reason
      return i - 1
    }
    context.emit(i)
  }
  return to
}

t.test('events, then the result', async (t) => {
  const run = new Run<number, number>((context) => count(context, 5))
  const seen: number[] = []
  for await (const event of run) seen.push(event)
  t.same(seen, [1, 2, 3, 4, 5])
  t.equal(await run, 5)
})

t.test('awaited alone', async (t) => {
  t.equal(await new Run<number, number>((context) => count(context, 3)), 3)
})

t.test('an iterator that is disposed of has stopped the run', async (t) => {
  const run = new Run<number, number>((context) => count(context, 1000))
  let ended = false
  run
    .catch(() => {})
    .finally(() => {
      ended = true
    })
  const events = run[Symbol.asyncIterator]() as AsyncIterableIterator<number> & AsyncDisposable
  t.equal((await events.next()).value, 1)
  await events[Symbol.asyncDispose]()
  t.ok(ended, 'and waited for its end')
})

t.test('leaving a loop twice counts once: another goes on', async (t) => {
  const run = new Run<number, number>((context) => count(context, 1000))
  const [left, other] = [run[Symbol.asyncIterator](), run[Symbol.asyncIterator]()]
  await left.next()
  await left.return?.()
  await left.return?.()
  t.same(await left.next(), { value: undefined, done: true })
  t.equal((await read({ [Symbol.asyncIterator]: () => other })).length, 1000)
})

async function read(events: AsyncIterable<number>, limit = Number.POSITIVE_INFINITY): Promise<number[]> {
  const seen: number[] = []
  for await (const event of events) if (seen.push(event) === limit) break
  return seen
}

t.test('every reader sees the beginning, however late: loops and onlookers', async (t) => {
  const run = new Run<number, number>((context) => count(context, 4))
  const early = read(run.events())
  await run
  t.same(await read(run), [1, 2, 3, 4])
  t.same(await read(run), [1, 2, 3, 4])
  t.same(await early, [1, 2, 3, 4])
  t.same(await read(run.events()), [1, 2, 3, 4])
  t.same(await read(run.events({ replay: false })), [], 'no replay unless asked for')
})

t.test('onlookers come and go, and the run goes on', async (t) => {
  const run = new Run<number, number>((context) => count(context, 50))
  t.same(await read(run.events(), 3), [1, 2, 3])
  const [some, all] = await Promise.all([read(run.events(), 10), read(run.events())])
  t.equal(some.length, 10)
  t.equal(all.length, 50)
  const waiting = run.events({ replay: false })
  const pending = waiting.next()
  await waiting.return!()
  t.same(await pending, { value: undefined, done: true }, 'a reader that waits can leave')
  t.equal(await run, 50)
})

t.test('a loop that leaves stops the run only if nobody else holds it', async (t) => {
  const second = new Run<number, number>((context) => count(context, 200))
  const [whole, part] = await Promise.all([read(second), read(second, 2)])
  t.same(part, [1, 2])
  t.equal(whole.length, 200, 'the second of two loops left')
  const first = new Run<number, number>((context) => count(context, 200))
  const [left, stayed] = await Promise.all([read(first, 2), read(first)])
  t.equal(left.length, 2)
  t.equal(stayed.length, 200, 'the first of two loops left')
  const awaited = new Run<number, number>((context) => count(context, 200))
  const result = awaited.then((value) => value)
  await read(awaited, 2)
  t.equal(await result, 200, 'somebody awaits it')
  const watched = new Run<number, number>((context) => count(context, 5000))
  const onlooker = read(watched.events())
  await read(watched, 2)
  t.ok((await watched) < 5000, 'canary: an onlooker does not hold it, and the only loop has left')
  t.ok((await onlooker).length < 5000, 'and the onlooker sees the end')
})

t.test('a failure is not thrown at onlookers', async (t) => {
  const run = new Run<number, number>(async (context) => {
    await count(context, 2)
    throw new Error('boom')
  })
  t.same(await read(run.events()), [1, 2])
  await t.rejects(run, { message: 'boom' })
  t.same(await read(run.events()), [1, 2], 'nor at late ones')
  await t.rejects(read(run), { message: 'boom' }, 'but at every loop')
})

t.test('break stops the job and waits for it', async (t) => {
  let ended = false
  const run = new Run<number, number>(async (context) => {
    const result = await count(context, 1000)
    await new Promise((resolve) => setTimeout(resolve, 5))
    ended = true
    return result
  })
  for await (const event of run) if (event === 3) break
  t.ok(ended, 'joined')
  const done = await run
  t.ok(done >= 3 && done < 1000)
})

t.test('a failure comes out of the loop after its events, and out of the promise', async (t) => {
  const boom = new Error('boom')
  const run = new Run<number, number>(async (context) => {
    await count(context, 2)
    throw boom
  })
  const seen: number[] = []
  await t.rejects(async () => {
    for await (const event of run) seen.push(event)
  }, boom)
  t.same(seen, [1, 2])
  await t.rejects(run, boom)
})

t.test('an abort rejects with the reason of the signal', async (t) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const run = new Run<number, number>((context) => count(context, 1000), controller.signal)
  await t.rejects(async () => {
    for await (const event of run) if (event === 2) controller.abort(reason)
  }, reason)
  const late = new Run<number, number>((context) => count(context, 10), controller.signal)
  await t.rejects(late, reason)
})

t.test('an exception before the first await is a rejection', async (t) => {
  const run = new Run<number, number>(() => {
    throw new Error('at once')
  })
  await t.rejects(run, { message: 'at once' })
})

t.test('finally counts as awaiting, and hands on the result; leaving a block stops the run', async (t) => {
  const run = new Run<number, number>((context) => count(context, 20))
  let called = 0
  const whole = run.finally(() => {
    called++
  })
  for await (const _ of run) break
  t.equal(await whole, 20, 'the loop that left has not stopped it')
  t.equal(called, 1)

  const left = new Run<number, number>((context) => count(context, 1000))
  let ended = false
  const result = left
    .catch(() => 0)
    .finally(() => {
      ended = true
    })
  await left[Symbol.asyncDispose]()
  t.ok(ended, 'waits for its end')
  t.ok((await result) < 1000)
})
