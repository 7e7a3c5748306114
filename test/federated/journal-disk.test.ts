/** The journal on disks that fail: nothing half-appended, nothing lost, and it goes on once there is room. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openFileJournal } from '../../src/federated/journal/file.js'
import { type Fault, faultyDisk } from './support/faulty-disk.js'
import { entriesOf } from './support/journal-conformance.js'

const base = t.testdir()
let folders = 0

/** A journal of two records on a disk that fails then; what an append gives, and the journal afterwards. */
async function failing(faults: Fault[], segmentBytes?: number) {
  const folder = join(base, `f${folders++}`)
  const journal = await openFileJournal(folder, segmentBytes === undefined ? {} : { segmentBytes })
  await journal.append(['first', { second: 2 }], 0)
  const file = join(folder, readdirSync(folder).find((name) => name.endsWith('.fl'))!)
  const before = readFileSync(file)
  const disk = await faultyDisk(faults)
  const both = await Promise.allSettled([journal.append(['x'.repeat(500)], 2), journal.append(['third'], 3)])
  disk.restore()
  const errors = both.map((result) => (result as PromiseRejectedResult).reason)
  return { folder, journal, errors, calls: disk.calls, isAsBefore: before.equals(readFileSync(file)), file }
}

const read = async (journal: Parameters<typeof entriesOf>[0]) => (await entriesOf(journal)).map(({ record }) => record)

t.test('a full disk: all that waits is refused, nothing of it is there, and the next append works', async (t) => {
  const full: Fault[][] = [
    [{ method: 'write', errno: 'ENOSPC' }],
    [{ method: 'write', errno: 'EDQUOT', bytes: 7 }],
    [{ method: 'write', errno: 'ENOSPC', bytes: 300 }],
    [{ method: 'datasync', errno: 'ENOSPC' }],
  ]
  for (const faults of full) {
    const { folder, journal, errors, calls, isAsBefore } = await failing(faults)
    t.match(errors, [{ code: 'E_DISK_FULL' }, { code: 'E_DISK_FULL' }], JSON.stringify(faults))
    t.ok(calls.length > 0)
    t.ok(isAsBefore, 'the file is what it was')
    t.equal(await journal.append(['third'], 2), 3)
    await journal.close()
    const again = await openFileJournal(folder)
    t.same(await read(again), ['first', { second: 2 }, 'third'])
    t.equal(again.torn, undefined)
    await again.close()
  }
})

t.test('no room for the next file', async (t) => {
  const { folder, journal, errors } = await failing([{ method: 'writeFile', errno: 'ENOSPC' }], 1)
  t.match(errors, [{ code: 'E_DISK_FULL' }, { code: 'E_DISK_FULL' }])
  t.equal(await journal.append(['third'], 2), 3)
  await journal.close()
  t.notOk(readdirSync(folder).some((name) => name.endsWith('.tmp')))
  const again = await openFileJournal(folder)
  t.same(await read(again), ['first', { second: 2 }, 'third'])
  await again.close()
})

t.test(
  'a flush that failed: nobody knows what the device holds, and nothing is appended until the journal is opened again',
  async (t) => {
    for (const faults of [
      [{ method: 'datasync', errno: 'EIO', times: 1 }],
      [
        { method: 'write', errno: 'ENOSPC', bytes: 9 },
        { method: 'truncate', errno: 'EIO' },
      ],
      [
        { method: 'write', errno: 'ENOSPC', bytes: 9 },
        { method: 'sync', errno: 'EIO' },
      ],
    ] as Fault[][]) {
      const { folder, journal, errors } = await failing(faults)
      const code = faults[0]!.errno === 'EIO' ? 'E_IO' : 'E_DISK_FULL'
      t.match(errors, [{ code }, { code }])
      await t.rejects(journal.append(['third'], 2), { code: 'E_IO' })
      await journal.close()
      const again = await openFileJournal(folder)
      t.same(await read(again), ['first', { second: 2 }])
      t.equal(await again.append(['third'], 2), 3)
      await again.close()
    }
  },
)

t.test('canary: a disk that fails is noticed by the test', async (t) => {
  const disk = await faultyDisk([{ method: 'write', errno: 'ENOSPC', bytes: 3 }])
  const folder = join(base, 'canary')
  const journal = await openFileJournal(folder)
  await t.rejects(journal.append(['lost'], 0), { code: 'E_DISK_FULL' })
  t.same(disk.calls, ['write', 'write'], 'three bytes, then none')
  disk.restore()
  await journal.close()
})
