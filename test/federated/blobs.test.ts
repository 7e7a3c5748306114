/** Blobs in a folder: what every store promises; names from outside; disks without room; processes that were killed. */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDirectoryBlobs } from '../../src/federated/blobs/directory.js'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { blobConformance, chunksOf, refOf } from './support/blob-conformance.js'
import { faultyDisk } from './support/faulty-disk.js'

const base = t.testdir()
let folders = 0
const newFolder = () => join(base, `f${folders++}`)
const open = (folder: string) => openDirectoryBlobs(folder, { reserve: 0 })

t.test('in memory', (t) => blobConformance(t, async () => ({ blobs: new MemoryBlobs() })))

t.test('in a folder', (t) =>
  blobConformance(t, async () => {
    const folder = newFolder()
    return { blobs: await open(folder), again: () => open(folder) }
  }),
)

t.test('no name from outside becomes a path', async (t) => {
  const folder = newFolder()
  const blobs = await open(folder)
  writeFileSync(join(base, 'secret'), 'secret')
  const names = [
    '../secret',
    '..',
    '',
    '/etc/passwd',
    `${'a'.repeat(63)}/`,
    'A'.repeat(64),
    `${'a'.repeat(64)}\n`,
    `${'a'.repeat(64)}.part`,
    '\0',
    'lock',
    7,
    null,
    undefined,
    {},
    ['a'.repeat(64)],
  ]
  for (const name of names as string[]) {
    const what = JSON.stringify(name)
    await t.rejects(blobs.sizeOf(name), { code: 'E_ARGUMENT' }, what)
    await t.rejects(blobs.offsetOf(name), { code: 'E_ARGUMENT' }, what)
    await t.rejects(blobs.read(name), { code: 'E_ARGUMENT' }, what)
    await t.rejects(blobs.write({ blob: name, bytes: 1 }, 0, chunksOf(Buffer.from('x'))), { code: 'E_ARGUMENT' }, what)
    await t.rejects(blobs.open(name)[Symbol.asyncIterator]().next() as Promise<unknown>, { code: 'E_ARGUMENT' }, what)
  }
  for (const bytes of [-1, 1.5, Number.NaN, '1', 2 ** 60, undefined]) {
    await t.rejects(blobs.write({ blob: 'a'.repeat(64), bytes: bytes as number }, 0, chunksOf(Buffer.from('x'))), {
      code: 'E_ARGUMENT',
    })
  }
  t.same(
    readdirSync(folder).filter((name) => !name.startsWith('lock.')),
    [],
  )
  await blobs.collect(() => false)
  t.equal(readFileSync(join(base, 'secret'), 'utf8'), 'secret')
  await blobs.close()
  for (const reserve of [-1, Number.NaN, '1']) {
    await t.rejects(openDirectoryBlobs(newFolder(), { reserve: reserve as number }), { code: 'E_ARGUMENT' })
  }
})

t.test('what a killed process left', async (t) => {
  const folder = newFolder()
  const bytes = randomBytes(50)
  const { blob } = refOf(bytes)
  const blobs = await open(folder)
  await blobs.put(bytes)
  await t.rejects(open(folder), { code: 'E_LOCKED' })
  await blobs.close()
  renameSync(join(folder, blob), join(folder, `${blob}.part`)) // killed before the rename
  writeFileSync(join(folder, `.${blob}.99.0a0b0c0d.tmp`), bytes.subarray(9)) // killed in `put`
  writeFileSync(join(folder, 'notes'), 'of somebody')
  const next = await open(folder)
  t.equal(await next.sizeOf(blob), 50, 'it is whole')
  t.same(
    readdirSync(folder).filter((name) => !name.startsWith('lock.')),
    [blob, 'notes'].sort(),
  )
  await next.close()
})

t.test('a full disk: what arrived stays, and it goes on once there is room', async (t) => {
  const folder = newFolder()
  const bytes = randomBytes(100)
  const ref = refOf(bytes)
  const blobs = await open(folder)
  let disk = await faultyDisk([{ method: 'write', errno: 'ENOSPC', after: 1, bytes: 13 }])
  await t.rejects(blobs.write(ref, 0, chunksOf(bytes, 20)), { code: 'E_DISK_FULL' })
  await t.rejects(blobs.put(randomBytes(10)), { code: 'E_DISK_FULL' })
  disk.restore()
  const offset = await blobs.offsetOf(ref.blob)
  t.equal(offset, 33, 'a chunk of 20 and 13 bytes of the next')
  disk = await faultyDisk([{ method: 'sync', errno: 'ENOSPC' }])
  await t.rejects(blobs.write(ref, offset, chunksOf(bytes.subarray(offset))), { code: 'E_DISK_FULL' })
  disk.restore()
  t.equal(await blobs.sizeOf(ref.blob), undefined, 'it is not whole before it is flushed')
  t.equal(await blobs.write(ref, 100, chunksOf(Buffer.alloc(0))), 100)
  t.ok(bytes.equals(await blobs.read(ref.blob)))
  t.same(
    readdirSync(folder).filter((name) => !name.startsWith('lock.')),
    [ref.blob],
  )
  await blobs.close()
  const full = await openDirectoryBlobs(folder, { reserve: Number.MAX_SAFE_INTEGER })
  await t.rejects(full.write(refOf(Buffer.from('x')), 0, chunksOf(Buffer.from('x'))), {
    code: 'E_DISK_FULL',
    details: { bytes: 1 },
  })
  await t.rejects(full.put(Buffer.from('x')), { code: 'E_DISK_FULL' })
  t.ok(bytes.equals(await full.read(ref.blob)), 'reading needs no room')
  await full.close()
})

t.test('what becomes whole while others are collected is no failure, and stays', async (t) => {
  const folder = t.testdir()
  const blobs = await openDirectoryBlobs(folder)
  const ref = refOf(Buffer.from('an update'))
  writeFileSync(join(folder, `${ref.blob}.part`), 'an update')
  await blobs.collect((id) => {
    renameSync(join(folder, `${id}.part`), join(folder, id))
    return false
  })
  t.equal(await blobs.sizeOf(ref.blob), ref.bytes)
  await blobs.close()
})
