/** The event log on disk: what of it counts after a crash, and what is in it after a failed write. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { EventLog, readLines } from '../../src/run/event-log.js'

const file = (folder: string) => join(folder, 'events.ndjson')
function folderWith(text: string): string {
  const folder = t.testdir()
  writeFileSync(file(folder), text)
  return folder
}

t.test('whole lines count up to the first that is torn, wherever it is', async (t) => {
  const lines = ['{"a":1}', '{"b":2}', '{"c":3}']
  const all = lines.map((line) => `${line}\n`)
  t.same(await readLines(folderWith(all.join(''))), lines)
  t.same(await readLines(folderWith(`${all[0]}{"b"`)), lines.slice(0, 1), 'the last without its end')
  t.same(await readLines(folderWith(`${all[0]}${lines[1]}`)), lines.slice(0, 1), 'nor one that only lacks its newline')
  for (const torn of [0, 1, 2]) {
    const damaged = all.with(torn, '{"b"\n').join('')
    t.same(await readLines(folderWith(damaged)), lines.slice(0, torn), `line ${torn}`)
  }
  t.same(await readLines(folderWith('')), [])
  t.same(await readLines(join(t.testdir(), 'absent')), [])
  const blocked = t.testdir()
  mkdirSync(file(blocked))
  await t.rejects(readLines(blocked), { code: 'E_IO' })
})

t.test('it goes on after the lines it is opened with, and counts lines and bytes', async (t) => {
  const folder = folderWith('{"old":1}\n{"old":2}\n{"torn')
  const log = await EventLog.open(folder, ['{"old":1}'])
  t.same([log.lines, log.bytes], [1, 10])
  await log.append({ type: 'ü' })
  await log.sync()
  const text = readFileSync(file(folder), 'utf8')
  t.same([log.lines, log.bytes], [2, Buffer.byteLength(text)])
  const [first, second, rest] = text.split('\n')
  t.same([first, rest], ['{"old":1}', ''])
  const { type, time, ...others } = JSON.parse(second!)
  t.same([type, others], ['ü', {}])
  t.ok(Math.abs(Date.parse(time) - Date.now()) < 3600_000, 'the time it happened')
  await log.close()
  await t.rejects(log.append({}), { code: 'E_IO' }, 'a log that cannot be written says so')
  await t.rejects(log.sync(), { code: 'E_IO' })
  appendFileSync(file(folder), '{"more":1}\n')
  t.equal((await readLines(folder)).length, 3, 'canary: what is there is read')
})
