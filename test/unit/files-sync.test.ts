// Flushing to the device, as Linux and as Windows want it.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { syncPath, writeTextFile } from '../../src/files/atomic.js'

t.test('Linux flushes files and folders', async (t) => {
  const folder = t.testdir({ 'a.txt': 'a' })
  await syncPath(join(folder, 'a.txt'))
  await syncPath(folder)
  await t.rejects(syncPath(join(folder, 'none')), { code: 'ENOENT' })
})

t.test('Windows flushes what is open for writing, and no folders', async (t) => {
  const folder = t.testdir({ 'a.txt': 'a' })
  t.intercept(process, 'platform', { value: 'win32' })
  await syncPath(folder) // opened for writing, it would be EISDIR
  await syncPath(join(folder, 'a.txt'))
  await writeTextFile(join(folder, 'b.txt'), 'b')
  await t.rejects(syncPath(join(folder, 'none')), { code: 'ENOENT' })
  const program = process.execPath // a program that runs is open to nobody who would write
  const refused = await open(program, 'r+').then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  )
  t.ok(refused, 'ETXTBSY, or EACCES')
  await t.rejects(syncPath(program), { code: refused }, 'files are opened for writing')
})
