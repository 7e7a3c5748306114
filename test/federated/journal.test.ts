/** The journal of a server in files: what every journal promises; cut and damaged at every byte; disks without room; two processes. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import type { FedloraError } from '../../src/errors.js'
import { openFileJournal } from '../../src/federated/journal/file.js'
import { maximumBody } from '../../src/federated/journal/frame.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { parseSegment } from '../../src/federated/journal/segment.js'
import { crc32c } from '../../src/files/crc32c.js'
import { entriesOf, journalConformance } from './support/journal-conformance.js'

let folders = 0
const base = t.testdir()
const newFolder = () => join(base, `f${folders++}`)

t.test('in memory', (t) =>
  journalConformance(t, async () => {
    const journal = new MemoryJournal()
    return { journal, again: async () => new MemoryJournal(journal) }
  }),
)

t.test('in files', (t) =>
  journalConformance(t, async () => {
    const folder = newFolder()
    return { journal: await openFileJournal(folder), again: () => openFileJournal(folder) }
  }),
)

t.test('in files of one record each', (t) =>
  journalConformance(t, async () => {
    const folder = newFolder()
    return {
      journal: await openFileJournal(folder, { segmentBytes: 1 }),
      again: () => openFileJournal(folder, { segmentBytes: 1 }),
    }
  }),
)

/** A journal of five appends in one file; where each of them ends. */
async function written(): Promise<{ name: string; bytes: Buffer; ends: number[]; records: unknown[] }> {
  const folder = newFolder()
  const journal = await openFileJournal(folder, { run: '0123456789abcdef0123456789abcdef' })
  const [name] = readdirSync(folder).filter((name) => name.startsWith('journal-')) as [string]
  const records = [{ round: 1 }, { client: 'north', text: '[]' }, [], { blob: 'ab'.repeat(8) }, 'end', 6]
  const size = () => readFileSync(join(folder, name)).length
  const ends = [size()]
  let last = 0
  for (const some of [
    records.slice(0, 1),
    records.slice(1, 3),
    records.slice(3, 4),
    records.slice(4, 5),
    records.slice(5),
  ]) {
    last = await journal.append(some, last)
    ends.push(size())
  }
  await journal.close()
  return { name, bytes: readFileSync(join(folder, name)), ends, records }
}
async function tried<Result extends object>(
  call: () => Result | Promise<Result>,
): Promise<Partial<Result & FedloraError>> {
  try {
    return await call()
  } catch (error) {
    return error as FedloraError as Partial<Result & FedloraError>
  }
}

/** Records after each of the five appends. */
const counts = [0, 1, 3, 4, 5, 6]

async function readBack(name: string, bytes: Buffer): Promise<unknown[]> {
  const folder = newFolder()
  mkdirSync(folder)
  writeFileSync(join(folder, name), bytes)
  const journal = await openFileJournal(folder)
  try {
    const records = (await entriesOf(journal)).map(({ record }) => record)
    await journal.append(['next'], records.length)
    return records
  } finally {
    await journal.close()
  }
}

t.test('cut at every byte: all that was acknowledged before', async (t) => {
  const { name, bytes, ends, records } = await written()
  for (let length = ends[0]!; length <= bytes.length; length++) {
    const whole = ends.filter((end) => end <= length).length - 1
    const got = await readBack(name, bytes.subarray(0, length))
    if (JSON.stringify(got) !== JSON.stringify(records.slice(0, counts[whole]))) t.fail(`cut at ${length}`, { got })
  }
  await t.rejects(readBack(name, Buffer.alloc(0)), { code: 'E_JOURNAL_CORRUPT', details: { byte: 0 } })
  for (let length = 0; length < ends[0]!; length++) {
    await t.rejects(
      readBack(name, bytes.subarray(0, length)),
      { code: 'E_JOURNAL_CORRUPT', details: { byte: 0 } },
      `cut at ${length}`,
    )
  }
})

t.test('a flipped bit anywhere but in the last append is told with its place', async (t) => {
  const { name, bytes, ends, records } = await written()
  const judge = (
    bit: number,
    got: { code?: string; message?: string; details?: { byte?: number }; records?: readonly unknown[] },
  ) => {
    const frame = ends.filter((end) => end <= bit >> 3).length
    // In the last one it is not told from an append that was under way.
    if (frame === 5) return JSON.stringify(got.records) === JSON.stringify(records.slice(0, 5))
    const at = frame === 0 ? 0 : ends[frame - 1]
    return got.code === 'E_JOURNAL_CORRUPT' && got.details?.byte === at && got.message!.includes(name)
  }
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    const got = await tried(() => parseSegment(name, damaged, true))
    if (!judge(bit, got)) t.fail(`bit ${bit}`, { got })
    if (bit % 61 === 0) {
      const opened = await tried(async () => ({ records: await readBack(name, damaged) }))
      if (!judge(bit, opened)) t.fail(`bit ${bit}, opened`, { opened })
    }
    const before = await tried(() => parseSegment(name, damaged, false))
    if (before.code !== 'E_JOURNAL_CORRUPT') t.fail(`bit ${bit} of a file that is not the last`, { before })
  }
  t.notOk(judge(8 * ends[2]!, { records: records.slice(0, 3) }), 'a judge that calls a cut in the middle wrong')
})

t.test('another version is told from damage', async (t) => {
  const { name, bytes } = await written()
  const line = bytes.toString('latin1', 0, bytes.indexOf(10) - 8).replace('journal 1', 'journal 2')
  const sum = crc32c(Buffer.from(line)).toString(16).padStart(8, '0')
  const other = Buffer.concat([Buffer.from(`${line}${sum}`), bytes.subarray(bytes.indexOf(10))])
  await t.rejects(readBack(name, other), { code: 'E_VERSION', details: { version: 2, expected: 1 } })
})

/** A journal of seven files of a record each, all but the last two packed. */
async function inFiles(): Promise<string> {
  const folder = newFolder()
  const journal = await openFileJournal(folder, { segmentBytes: 1 })
  for (let i = 0; i < 7; i++) await journal.append([{ i, text: 'text '.repeat(100) }], i)
  await journal.close()
  return folder
}

t.test('closed files are packed, and packed or not the same is read', async (t) => {
  const folder = await inFiles()
  const names = readdirSync(folder).sort()
  t.same(
    names.map((name) => name.replace(/^journal-0+/, '')),
    [...[1, 2, 3, 4, 5, 6].map((i) => `${i}.fl.gz`), '7.fl'],
  )
  const read = async () => {
    const journal = await openFileJournal<{ i: number }>(folder)
    const got = (await entriesOf(journal)).map(({ record }) => record.i)
    await journal.close()
    return got
  }
  t.same(await read(), [0, 1, 2, 3, 4, 5, 6])
  for (const name of names.slice(0, 4)) {
    const path = join(folder, name)
    writeFileSync(path.slice(0, -3), gunzipSync(readFileSync(path)))
    if (name !== names[1]) rmSync(path) // of the second both are there: killed before the unpacked one was removed
  }
  t.same(await read(), [0, 1, 2, 3, 4, 5, 6])
})

t.test('files that are missing, foreign, exchanged or damaged are told by name', async (t) => {
  const other = await inFiles()
  const damages: [name: string, damage: (path: (i: number) => string) => void][] = [
    ['journal-000000000000002.fl.gz', (path) => rmSync(path(1))],
    ['journal-000000000000005.fl.gz', (path) => rmSync(path(4))],
    ['journal-000000000000003.fl.gz', (path) => cpSync(path(4), path(3))],
    ['journal-000000000000003.fl.gz', (path) => cpSync(join(other, 'journal-000000000000003.fl.gz'), path(3))],
    ['journal-000000000000003.fl.gz', (path) => writeFileSync(path(3), readFileSync(path(3)).subarray(0, 60))],
    [
      'journal-000000000000006.fl.gz',
      (path) => writeFileSync(path(6), gzipSync(gunzipSync(readFileSync(path(6))).subarray(0, -1))),
    ],
  ]
  for (const [name, damage] of damages) {
    const folder = await inFiles()
    damage((i) => join(folder, `journal-00000000000000${i}.fl.gz`))
    const journal = await openFileJournal(folder)
    await t.rejects(entriesOf(journal), { code: 'E_JOURNAL_CORRUPT', message: new RegExp(name.replaceAll('.', '\\.')) })
    await journal.close()
  }
  await t.rejects(openFileJournal(other, { run: 'f'.repeat(32) }), { code: 'E_FORMAT' })
})

t.test('options and folders that are none', async (t) => {
  for (const run of ['', 'F'.repeat(32), '../../etc', 7 as never, `${'a'.repeat(32)}\n`]) {
    await t.rejects(openFileJournal(newFolder(), { run }), { code: 'E_ARGUMENT' })
  }
  for (const folder of ['', 'a\0b', 7, null, undefined] as string[]) {
    await t.rejects(openFileJournal(folder), { code: 'E_ARGUMENT' })
  }
  for (const segmentBytes of [0, -1, 1.5, Number.NaN, '8', 1 << 28]) {
    await t.rejects(openFileJournal(newFolder(), { segmentBytes: segmentBytes as number }), { code: 'E_ARGUMENT' })
  }
  const file = newFolder()
  writeFileSync(file, '')
  await t.rejects(openFileJournal(file), { code: 'E_IO' })
})

t.test('records are bounded', async (t) => {
  const journal = await openFileJournal(newFolder())
  await t.rejects(journal.append(['x'.repeat(maximumBody - 3)], 0), { code: 'E_TOO_LARGE' })
  const half = 'x'.repeat(maximumBody / 2)
  t.equal(await journal.append(['x'.repeat(maximumBody - 4)], 0), 1)
  t.same(
    await Promise.all([1, 2, 3].map((after) => journal.append([half], after))),
    [2, 3, 4],
    'one flush takes no more than a frame',
  )
  t.same(
    (await entriesOf(journal)).map(({ record }) => (record as string).length),
    [maximumBody - 4, ...Array(3).fill(maximumBody / 2)],
  )
  await journal.close()
})
