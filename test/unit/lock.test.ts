/** One process at a time in a folder. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { lockFolder } from '../../src/files/lock.js'
import { processStart } from '../../src/files/process-start.js'

const base = t.testdir()

t.test('one at a time, in one process as well', async (t) => {
  const folder = join(base, 'one', 'deep')
  const lock = await lockFolder(folder)
  await t.rejects(lockFolder(folder), {
    code: 'E_LOCKED',
    details: { folder, pid: process.pid },
    message: /this process/,
  })
  lock.release()
  lock.release()
  t.same(readdirSync(folder), [])
  ;(await lockFolder(folder)).release()
})

t.test('of those that come together at most one gets in', async (t) => {
  const folder = join(base, 'together')
  const all = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(folder)))
  t.equal(all.filter(({ status }) => status === 'fulfilled').length, 1)
})

/** A process that does nothing until it is killed. */
async function idle(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6); console.log("up")'], {
    execArgv: [],
  } as object)
  await once(child.stdout!, 'data')
  return child
}

t.test(
  'the file of a living process counts, and that of a dead one does not, nor of one that has its number',
  async (t) => {
    const folder = join(base, 'others')
    mkdirSync(folder)
    const child = await idle()
    const start = await processStart(child.pid!)
    const name = join(folder, `lock.${child.pid}.${start}`)
    writeFileSync(name, '')
    await t.rejects(lockFolder(folder), {
      code: 'E_LOCKED',
      details: { pid: child.pid },
      message: new RegExp(`process ${child.pid}`),
    })
    t.same(readdirSync(folder), [`lock.${child.pid}.${start}`], 'who was refused leaves nothing')
    child.kill('SIGKILL')
    await once(child, 'exit')
    t.equal(await processStart(child.pid!), undefined)
    writeFileSync(join(folder, `lock.${process.pid}.12345678-1`), '') // this number, in another life
    writeFileSync(join(folder, 'lock.none'), '')
    const lock = await lockFolder(folder)
    t.same(readdirSync(folder).sort(), [`lock.${process.pid}.${await processStart(process.pid)}`, 'lock.none'].sort())
    lock.release()
  },
)
