/**
 * What a power cut must not take: every byte is flushed before the rename that makes it count, and the folder after it. No crash of a
 * process shows that, so the calls are noted as they are made.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { basename, join, relative } from 'node:path'
import t, { type Test } from 'tap'
import { OwnState } from '../../src/federated/client/own-state.js'
import { replaceFolder, writeTextFile } from '../../src/files/atomic.js'
import { writeCheckpoint } from '../../src/run/checkpoint.js'
import { EventLog } from '../../src/run/event-log.js'

const promises = createRequire(import.meta.url)('node:fs/promises')

/** Runs `work` in a folder; gives flushes and renames in their order, names of temporary files as `*`. */
async function calls(t: Test, work: (folder: string) => Promise<unknown>): Promise<string[]> {
  const folder = t.testdir()
  const noted: string[] = []
  const name = (path: string) => (relative(folder, path) || '.').replace(/\.([^/]+?)\.\d+\.[0-9a-f]+\.tmp/g, '*$1')
  const probe = await open(folder)
  const prototype = Object.getPrototypeOf(probe)
  await probe.close()
  const { sync } = prototype
  const { rename, open: opened } = promises
  const paths = new WeakMap<object, string>()
  promises.open = async (path: string, ...how: unknown[]) => {
    const handle = await opened(path, ...how)
    paths.set(handle, path)
    return handle
  }
  prototype.sync = async function () {
    noted.push(`sync ${name(paths.get(this)!)}`)
    return await sync.call(this)
  }
  promises.rename = async (from: string, to: string) => {
    noted.push(`rename ${name(from)} ${name(to)}`)
    renameSync(from, to)
  }
  syncBuiltinESMExports()
  try {
    await work(folder)
  } finally {
    prototype.sync = sync
    Object.assign(promises, { rename, open: opened })
    syncBuiltinESMExports()
  }
  return noted
}

t.test('a file', async (t) => {
  t.same(await calls(t, (folder) => writeTextFile(join(folder, 'a'), 'x')), ['sync *a', 'rename *a a', 'sync .'])
})

t.test('a folder', async (t) => {
  const fill = async (temporary: string) => writeFileSync(join(temporary, 'x'), 'x')
  t.same(await calls(t, (folder) => replaceFolder(join(folder, 'f'), fill)), ['sync *f', 'rename *f f', 'sync .'])
})

t.test('a checkpoint: each vector, its state, then the whole', async (t) => {
  const vectors = { adapter: Float32Array.of(1), moment1: Float32Array.of(2), empty: new Float32Array(0) }
  const noted = await calls(t, (folder) => writeCheckpoint(folder, 'step', { step: 4 }, vectors))
  t.same(noted, [
    'sync checkpoints/*step-4/adapter.f32',
    'sync checkpoints/*step-4/moment1.f32',
    'sync checkpoints/*step-4/*state.json',
    'rename checkpoints/*step-4/*state.json checkpoints/*step-4/state.json',
    'sync checkpoints/*step-4',
    'sync checkpoints/*step-4',
    'rename checkpoints/*step-4 checkpoints/step-4',
    'sync checkpoints',
  ])
})

t.test('the event log, when asked', async (t) => {
  const noted = await calls(t, async (folder) => {
    const log = await EventLog.begin(folder, 'train')
    await log.append({ a: 1 })
    await log.sync()
    await log.close()
  })
  t.same(noted, ['sync events.ndjson'])
})

t.test('what clients keep: those of the ended rounds, then their folder; nothing twice', async (t) => {
  const noted = await calls(t, async (folder) => {
    const store = await OwnState.open(folder)
    for (const client of ['a', 'b']) await store.write(client, 'v', 1, Float32Array.of(1, 2))
    await store.flush() // the round has not ended
    await store.endRound()
    await store.write('a', 'v', 2, Float32Array.of(5, 5))
    await store.flush()
    await store.committed()
    await store.flush()
  })
  const names = noted.filter((call) => call.startsWith('sync')).map((call) => basename(call.slice(5)))
  t.same(names, ['client-ca978112ca1bbdca.v.round-1.flup', 'client-3e23e8160039594a.v.round-1.flup', '.'])
})
