/** The event log on disk: where a resumed run cuts it, what another release's is told, and what a failed write leaves. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { EventLog, logReaches } from '../../src/run/event-log.js'

const root = t.testdir()
/** A new empty folder. */
const place = () => mkdtempSync(join(root, 'log-'))
const file = (folder: string) => join(folder, 'events.ndjson')
const text = (folder: string) => readFileSync(file(folder), 'utf8')
/** Its lines without their times, each of which is one. */
function linesOf(folder: string): unknown[] {
  const lines = text(folder).split('\n')
  if (lines.pop() !== '') throw new Error('the last line is torn')
  return lines.map((line) => {
    const { time, ...event } = JSON.parse(line)
    if (new Date(time).toISOString() !== time) throw new Error(`${time} is no time`)
    return event
  })
}

const head = { type: 'log', version: 1, kind: 'train' }

t.test('a new log says what it is, counts its bytes, and empties what lies there', async (t) => {
  const folder = place()
  writeFileSync(file(folder), 'what was there before and is far longer than a first line '.repeat(9))
  const log = await EventLog.begin(folder, 'train')
  await log.append({ type: 'ü' })
  t.equal(log.bytes, Buffer.byteLength(text(folder)))
  t.same(linesOf(folder), [head, { type: 'ü' }])
  await log.close()
  await t.rejects(log.append({}), { code: 'E_IO' })
  await t.rejects(log.sync(), { code: 'E_IO' })
})

t.test('a resumed log is cut at its bytes, in its own folder or copied into another', async (t) => {
  const from = place()
  const begun = await EventLog.begin(from, 'train')
  await begun.append({ a: 1 })
  const { bytes } = begun
  await begun.append({ b: 2 })
  await begun.close()
  for (const folder of [place(), from]) {
    const log = await EventLog.resume(folder, bytes, from)
    t.equal(log.bytes, bytes)
    await log.append({ c: 3 })
    t.same(linesOf(folder), [head, { a: 1 }, { c: 3 }])
    await log.close()
  }
})

t.test('a log reaches a place when the line before it is whole', async (t) => {
  const folder = place()
  t.same([await logReaches(folder, 0), await logReaches(folder, 1)], [true, false], 'there is none')
  writeFileSync(file(folder), '{"a":1}\n{"b"')
  const reached: number[] = []
  for (let bytes = 0; bytes <= 20; bytes++) if (await logReaches(folder, bytes)) reached.push(bytes)
  t.same(reached, [0, 8])
})

t.test('what another release wrote, or is no log, is refused by version', async (t) => {
  const folder = place()
  for (const [first, got] of [
    ['{"type":"log","version":2}', '2'],
    ['{"type":"step","version":1}', 'none'],
    ['{"type":"log"', 'none'],
    ['3', 'none'],
  ]) {
    writeFileSync(file(folder), `${first}\n`)
    await t.rejects(EventLog.resume(folder, 0, folder), {
      code: 'E_VERSION',
      message: new RegExp(`version ${got} of the event log, expected 1`),
    })
    t.equal(text(folder), `${first}\n`, 'and not touched')
  }
  await t.rejects(EventLog.resume(place(), 0, folder.concat('-absent')), { code: 'E_IO' })
  const blocked = place()
  mkdirSync(file(blocked))
  await t.rejects(EventLog.begin(blocked, 'train'), { code: 'E_IO' })
  await t.rejects(EventLog.resume(blocked, 0, blocked), { code: 'E_IO' })
})

t.test('a line that could not be written comes before a flush and the next, whole', async (t) => {
  const folder = place()
  const log = await EventLog.begin(folder, 'train')
  const probe = await open(file(folder))
  const prototype = Object.getPrototypeOf(probe)
  await probe.close()
  const { write } = prototype
  let room = 5
  // The disk takes five bytes more.
  prototype.write = async function (bytes: Buffer, offset: number, length: number, position: number) {
    if (room === 0) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    const taken = Math.min(room, length)
    room -= taken
    return await write.call(this, bytes, offset, taken, position)
  }
  t.teardown(() => {
    prototype.write = write
  })
  const before = log.bytes
  await t.rejects(log.append({ a: 1 }), { code: 'E_IO', message: /the disk is full/ })
  t.equal(log.bytes, before + 5)
  await t.rejects(log.sync(), { code: 'E_IO' }, 'what is not written is not durable')
  room = 7
  await t.rejects(log.append({ b: 2 }), { code: 'E_IO' })
  room = 1000
  await log.sync()
  t.same(linesOf(folder), [head, { a: 1 }, { b: 2 }], 'a flush writes what is left')
  await log.append({ c: 3 })
  t.same(linesOf(folder), [head, { a: 1 }, { b: 2 }, { c: 3 }])
  t.equal(log.bytes, Buffer.byteLength(text(folder)))
  await log.close()
})
