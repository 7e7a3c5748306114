/** A run as its user sees it: iterated, awaited, stopped, aborted. */
import t from 'tap'
import { Run, type RunContext } from '../../src/training/run.js'

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

t.test('a late iterator still sees the beginning; a second one sees what is left', async (t) => {
  const run = new Run<number, number>((context) => count(context, 4))
  await run
  const first: number[] = []
  for await (const event of run) first.push(event)
  t.same(first, [1, 2, 3, 4])
  const second: number[] = []
  for await (const event of run) second.push(event)
  t.same(second, [])
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
