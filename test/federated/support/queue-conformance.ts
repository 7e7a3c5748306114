/** What every queue of work promises, whatever it lies in. */
import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import type { Done } from '../../../src/federated/workers/assignment.js'
import type { WorkQueue } from '../../../src/federated/workers/work-queue.js'

export interface OpenQueue {
  /** The server's side, patient for about a second, and not long away from what it is given back. */
  queue: WorkQueue
  /** A worker's. */
  worker(): Promise<WorkQueue>
  /** The server's side as a process that starts now finds it. */
  again(): Promise<WorkQueue>
}

const idOf = (text: string) => createHash('sha256').update(text).digest('hex')
const resultOf = (id: string, client = 'a'): Done => ({
  assignment: id,
  partial: { blob: idOf(`of ${id}`), bytes: 8 },
  sums: { adapter: 8 },
  accepted: [client],
  refused: [{ client: 'ß "', code: 'E_SHAPE', why: 'why' }],
})
const never = new AbortController().signal
const soon = (milliseconds: number) => AbortSignal.timeout(milliseconds)

/** Results as they come, and a promise of the first so many. */
function hearing(queue: WorkQueue, fails: (done: Done) => boolean = () => false) {
  const heard: Done[] = []
  let wake = () => {}
  const end = queue.results(async (done) => {
    heard.push(done)
    wake()
    if (fails(done)) throw new Error('not now')
  })
  const first = async (count: number) => {
    while (heard.length < count) await new Promise<void>((resolve) => (wake = resolve))
    return heard.slice(0, count)
  }
  return { heard, first, end }
}

export async function queueConformance(t: Test, open: () => Promise<OpenQueue>): Promise<void> {
  const ids = Array.from({ length: 3 }, (_, i) => idOf(String(i)))
  const [one, two, three] = ids as [string, string, string]
  const alive = setInterval(() => {}, 1000) // what waits for time keeps no process
  t.teardown(() => clearInterval(alive))

  await t.test('in order, each to one worker; what is handed back is heard', async (t) => {
    const { queue, worker } = await open()
    const [a, b] = [await worker(), await worker()]
    for (const id of ids) await queue.put(id)
    const first = (await a.take(never))!
    const second = (await b.take(never))!
    t.same([first.id, second.id], [one, two])
    const told = hearing(queue)
    await second.done(resultOf(two))
    t.same(await told.first(1), [resultOf(two)])
    await first.done(resultOf(one))
    t.same(await told.first(2), [resultOf(two), resultOf(one)])
    const third = (await a.take(never))!
    t.equal(third.id, three)
    await third.done(resultOf(three))
    await told.first(3)
    t.equal(await b.take(soon(1500)), undefined, 'nothing is left, also for the patient')
    await told.end()
    t.equal(told.heard.length, 3, 'each once')
    for (const each of [a, b, queue]) await each.close()
  })
  await t.test('a taker that waits is given what comes; one that waits no longer takes nothing', async (t) => {
    const { queue, worker } = await open()
    const [a, b] = [await worker(), await worker()]
    t.equal(await a.take(soon(50)), undefined)
    t.equal(await a.take(AbortSignal.abort()), undefined)
    const waits = b.take(never)
    await queue.put(one)
    t.equal((await waits)!.id, one)
    for (const each of [a, b, queue]) await each.close()
  })
  await t.test('put twice, it is there once', async (t) => {
    const { queue, worker } = await open()
    const a = await worker()
    await queue.put(one)
    await queue.put(one)
    const taken = (await a.take(never))!
    await queue.put(one)
    t.equal(await a.take(soon(200)), undefined)
    await taken.done(resultOf(one))
    for (const each of [a, queue]) await each.close()
  })
  await t.test('a worker that says nothing has died: another is given what it was at', async (t) => {
    const { queue, worker } = await open()
    const [a, b] = [await worker(), await worker()]
    await queue.put(one)
    t.equal((await a.take(never))!.id, one)
    const again = (await b.take(never))!
    t.equal(again.id, one)
    const told = hearing(queue)
    await again.done(resultOf(one))
    t.same(await told.first(1), [resultOf(one)])
    await told.end()
    for (const each of [a, b, queue]) await each.close()
  })
  await t.test('one that shows that it lives keeps it', async (t) => {
    const { queue, worker } = await open()
    const [a, b] = [await worker(), await worker()]
    await queue.put(one)
    const taken = (await a.take(never))!
    const beat = setInterval(() => void taken.working(), 200)
    t.equal(await b.take(soon(2500)), undefined)
    clearInterval(beat)
    await taken.done(resultOf(one))
    for (const each of [a, b, queue]) await each.close()
  })
  await t.test('given back, another is given it; dropped, nobody is', async (t) => {
    const { queue, worker } = await open()
    const [a, b] = [await worker(), await worker()]
    await queue.put(one)
    await (await a.take(never))!.again()
    const taken = (await b.take(never))!
    t.equal(taken.id, one)
    await taken.drop()
    t.equal(await a.take(soon(1500)), undefined)
    for (const each of [a, b, queue]) await each.close()
  })
  await t.test('what was handed back while no server heard is told to the next', async (t) => {
    const { queue, worker, again } = await open()
    const a = await worker()
    await queue.put(one)
    await (await a.take(never))!.done(resultOf(one))
    const deaf = hearing(queue, () => true)
    await deaf.first(2)
    t.same(deaf.heard.slice(0, 2), [resultOf(one), resultOf(one)], 'again, as long as it is not heard')
    await deaf.end()
    await queue.close()
    const next = await again()
    const told = hearing(next)
    t.same(await told.first(1), [resultOf(one)])
    await told.end()
    for (const each of [a, next]) await each.close()
  })
}
