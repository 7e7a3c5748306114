/** The event log: its first line, its bytes, and what a failed write leaves. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { EventLog, logReaches } from '../../src/run/event-log.js'

interface Numbered {
  type: string
  n: number
}

const event = (n: number): Numbered => ({ type: 'step', n })
const parsed = (folder: string) =>
  readFileSync(join(folder, 'events.ndjson'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

t.test('the first line says what the others are; each has its time; bytes are counted', async (t) => {
  const folder = t.testdir()
  const log = await EventLog.begin<Numbered>(folder, 'train')
  await log.append({ type: 'é', n: 1 })
  t.equal(log.bytes, readFileSync(log.path).length)
  await log.close()
  const lines = parsed(folder)
  t.match(lines, [
    { type: 'log', version: 1, kind: 'train' },
    { type: 'é', n: 1 },
  ])
  for (const { time } of lines) t.equal(new Date(time).toISOString(), time)
  await (await EventLog.begin(folder, 'train')).close()
  t.equal(parsed(folder).length, 1, 'a log that lies there is emptied')
})

t.test('goes on behind a byte, in its own folder or in another', async (t) => {
  const folder = t.testdir()
  const log = await EventLog.begin<Numbered>(folder, 'train')
  await log.append(event(1))
  const { bytes } = log
  await log.append(event(2))
  await log.close()
  appendFileSync(log.path, '{"type":"st')
  const other = join(folder, 'other')
  mkdirSync(other)
  for (const place of [other, folder]) {
    const resumed = await EventLog.resume<Numbered>(place, bytes, folder)
    t.equal(resumed.bytes, bytes)
    await resumed.append(event(3))
    await resumed.close()
    t.same(
      parsed(place).map(({ type, n }) => n ?? type),
      ['log', 1, 3],
    )
  }
})

t.test('a log that holds whole lines up to a byte', async (t) => {
  const folder = t.testdir()
  t.ok(await logReaches(folder, 0))
  t.notOk(await logReaches(folder, 1), 'no log')
  writeFileSync(join(folder, 'events.ndjson'), 'ab\ncd')
  t.same(await Promise.all([1, 2, 3, 4, 5, 6].map((bytes) => logReaches(folder, bytes))), [
    false,
    false,
    true,
    false,
    false,
    false,
  ])
})

t.test('a log in other words is refused and left as it is', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'events.ndjson')
  for (const [text, version] of [
    ['{"type":"log","version":2}\nmore\n', '2'],
    ['{"type":"step","version":1}\nmore\n', 'none'],
    ['torn {\nmore\n', 'none'],
    ['null\nmore\n', 'none'],
  ] as const) {
    writeFileSync(path, text)
    const message = new RegExp(`version ${version} of the event log, expected 1; resume with the release`)
    await t.rejects(EventLog.resume(folder, 5, folder), { code: 'E_VERSION', message })
    t.equal(readFileSync(path, 'utf8'), text)
  }
  await t.rejects(EventLog.begin(join(folder, 'nowhere'), 'train'), { code: 'E_IO' })
  await t.rejects(EventLog.resume(folder, 5, join(folder, 'nowhere')), { code: 'E_IO' })
})

t.test(
  'a line whose write failed, wholly or in its middle, comes before the next one and before a flush',
  async (t) => {
    const probe = await open(join(t.testdir(), 'probe'), 'w')
    const prototype = Object.getPrototypeOf(probe) as { write: (...given: unknown[]) => Promise<unknown> }
    await probe.close()
    const { write } = prototype
    t.teardown(() => {
      prototype.write = write
    })
    for (const some of [0, 7]) {
      const folder = t.testdir()
      const log = await EventLog.begin<Numbered>(folder, 'train')
      await log.append(event(1))
      prototype.write = async function (
        this: unknown,
        buffer: unknown,
        offset: unknown,
        _length: unknown,
        at: unknown,
      ) {
        prototype.write = async () => {
          throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
        }
        if (some > 0) return await write.call(this, buffer, offset, some, at)
        return await prototype.write()
      }
      await t.rejects(log.append(event(2)), { code: 'E_IO', message: /the disk is full/ })
      await t.rejects(log.sync(), { code: 'E_IO' }, 'a checkpoint that counts it cannot be written either')
      prototype.write = write
      if (some > 0) await log.sync()
      else await log.append(event(3))
      t.equal(log.bytes, readFileSync(log.path).length)
      await log.close()
      t.same(
        parsed(folder).map(({ type, n }) => n ?? type),
        some > 0 ? ['log', 1, 2] : ['log', 1, 2, 3],
      )
    }
  },
)
