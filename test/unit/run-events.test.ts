/** Events for late and slow readers: from memory, then from the log, and told when they are nowhere. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Cursor, RunEvents } from '../../src/run/run-events.js'

interface Numbered {
  type: string
  n?: number
  missed?: number
  text?: string
}

async function readAll(cursor: Cursor<Numbered>): Promise<Numbered[]> {
  const seen: Numbered[] = []
  for (let taken = await cursor.take(); taken !== undefined; taken = await cursor.take()) seen.push(taken.event)
  return seen
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** Events 0 to `count` in a log that begins with `before`, of which memory keeps few. */
function logged(
  t: Test,
  count: number,
  before = '',
  text = '',
): { events: RunEvents<Numbered>; add: (n: number) => void } {
  const path = join(t.testdir(), 'events.ndjson')
  writeFileSync(path, before)
  const events = new RunEvents<Numbered>(4)
  let bytes = Buffer.byteLength(before)
  events.logTo(path, bytes)
  const add = (n: number) => {
    const line = `${JSON.stringify({ type: 'step', n, text, time: 'now' })}\n`
    appendFileSync(path, line)
    bytes += Buffer.byteLength(line)
    events.add({ type: 'step', n, text }, bytes)
  }
  for (const n of range(0, count)) add(n)
  return { events, add }
}

t.test('what memory has forgotten is read from the log, without the lines of an earlier session', async (t) => {
  const { events } = logged(t, 50, '{"type":"step","n":-1}\n')
  events.end()
  const seen = await readAll(events.cursor(true))
  t.same(
    seen.map(({ n }) => n),
    range(0, 50),
  )
  t.same(seen[0], { type: 'step', n: 0, text: '' }, 'as it was told, without the time')
})

t.test('lines longer than a chunk, and many chunks', async (t) => {
  const { events } = logged(t, 12, '', 'é'.repeat(100_000))
  events.end()
  const seen = await readAll(events.cursor(true))
  t.same(
    seen.map(({ n }) => n),
    range(0, 12),
  )
  t.ok(seen.every(({ text }) => text!.length === 100_000))
})

t.test('a reader that falls behind catches up from the log', async (t) => {
  const { events, add } = logged(t, 3)
  const cursor = events.cursor(true)
  t.equal((await cursor.take())!.event.n, 0)
  for (const n of range(3, 30)) add(n)
  events.add({ type: 'progress' })
  t.equal((await cursor.take())!.event.n, 1)
  for (const n of range(30, 60)) add(n)
  events.end()
  const rest = (await readAll(cursor)).filter(({ type }) => type === 'step')
  t.same(
    rest.map(({ n }) => n),
    range(2, 60),
  )
})

t.test('a reader that has left gets nothing more', async (t) => {
  const { events } = logged(t, 3)
  const cursor = events.cursor(true)
  t.equal((await cursor.take())!.event.n, 0)
  cursor.close()
  t.equal(await cursor.take(), undefined)
})

t.test('without a log the gap is told', async (t) => {
  const events = new RunEvents<Numbered>(4)
  for (const n of range(0, 21)) events.add({ type: 'step', n })
  events.end()
  const [gap, ...seen] = await readAll(events.cursor(true))
  t.match(gap, { type: 'gap', missed: 21 - seen.length })
  t.ok(seen.length >= 4 && seen.length <= 8, 'memory is bounded')
  t.equal(seen.at(-1)!.n, 20)
})

t.test('events that are in no log are missed each time, also after one has caught up from the log', async (t) => {
  const { events } = logged(t, 30)
  const cursor = events.cursor(true)
  for (const n of range(0, 30)) t.equal((await cursor.take())!.event.n, n)
  for (const turn of [1, 2]) {
    for (const n of range(0, 20)) events.add({ type: 'progress', n })
    const gap = (await cursor.take())!.event
    t.equal(gap.type, 'gap', `turn ${turn}`)
    const seen: number[] = []
    for (let n = -1; n < 19; seen.push(n)) n = (await cursor.take())!.event.n!
    t.same(seen, range(gap.missed!, 20))
  }
})

t.test('canary: a log that is not there is a failure, not an empty list', async (t) => {
  const events = new RunEvents<Numbered>(4)
  events.logTo(join(t.testdir(), 'none.ndjson'), 0)
  for (const n of range(0, 21)) events.add({ type: 'step', n }, 10 * (n + 1))
  events.end()
  await t.rejects(readAll(events.cursor(true)), { code: 'E_IO' })
})
