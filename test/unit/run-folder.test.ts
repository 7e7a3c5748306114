/** The folder of a run under way: what is durable before what counts on it, what stays, and where it goes on. */
import { readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { findResumption, RunFolder, type RunForm } from '../../src/run/folder.js'
import type { Identity } from '../../src/run/identity.js'
import type { RunContext } from '../../src/run/run.js'
import { writeSealed } from '../../src/run/sealed.js'
import { writeVector } from '../../src/run/vectors.js'

const schema = z.strictObject({ step: z.int(), eventBytes: z.int() })
const form: RunForm<z.output<typeof schema>> = {
  kind: 'train',
  unit: 'step',
  state: schema,
  length: [],
  writes: [],
  older: true,
}
const identity = { kind: 'train', version: 2, origin: { modelPath: '', isa: 'x', fedlora: '' } } as Identity
const adapter = Float32Array.of(1, 2)

function makeContext() {
  const told: unknown[] = []
  const logs: unknown[] = []
  const context = {
    emit: (...given: unknown[]) => told.push(given),
    logTo: (...given: unknown[]) => logs.push(given),
  } as unknown as RunContext<object>
  return { context, told, logs }
}

/** Replaces the flush of every open file for as long as the test lasts. */
async function onSync(t: Test, sync: (original: () => Promise<void>) => Promise<void>): Promise<() => void> {
  const probe = await open('/dev/null')
  const prototype = Object.getPrototypeOf(probe) as { sync(): Promise<void> }
  await probe.close()
  const { sync: original } = prototype
  prototype.sync = function (this: unknown) {
    return sync(() => original.call(this))
  }
  const restore = () => {
    prototype.sync = original
  }
  t.teardown(restore)
  return restore
}

t.test(
  'a checkpoint that counts events follows them to the device; so does the last line of a failed run',
  async (t) => {
    const { context, told } = makeContext()
    const path = join(t.testdir(), 'run')
    const folder = await RunFolder.open(path, form, identity, undefined, context)
    await folder.tell({ type: 'step', n: 1 })
    const restore = await onSync(t, async () => {
      throw Object.assign(new Error('lost'), { code: 'EIO' })
    })
    await t.rejects(folder.checkpoint({ step: 1 }, { adapter }), { code: 'E_IO', message: /events\.ndjson.*lost/ })
    t.notOk(readdirSync(path).includes('checkpoints'))
    await t.rejects(folder.note({ type: 'error' }), { code: 'E_IO', message: /events\.ndjson/ })
    restore()
    t.equal(await folder.checkpoint({ step: 1 }, { adapter }), 'checkpoints/step-1')
    t.match(told, [[{ type: 'step', n: 1 }, Number]], 'what is noted is told otherwise')
    await folder.close()
  },
)

t.test('every file of a sealed folder is flushed', async (t) => {
  let flushes = 0
  await onSync(t, async (original) => {
    flushes++
    await original()
  })
  const folder = t.testdir()
  const counts: number[] = []
  for (const files of [0, 1, 3]) {
    flushes = 0
    await writeSealed(join(folder, String(files)), 1, {}, async (at) => {
      for (let i = 0; i < files; i++) await writeVector(join(at, `${i}.f32`), adapter)
    })
    counts.push(flushes)
  }
  t.same(
    counts.map((count) => count - counts[0]!),
    [0, 1, 3],
  )
})

t.test('goes on from the newest that the log reaches; retold events stand before those of this process', async (t) => {
  const path = join(t.testdir(), 'run')
  const first = await RunFolder.open(path, form, identity, undefined, makeContext().context)
  for (const step of [1, 2, 3]) {
    await first.tell({ type: 'step', step })
    await first.checkpoint({ step }, { adapter })
  }
  await first.prune((steps) => steps.slice(0, 2))
  await first.close()
  t.same(readdirSync(join(path, 'checkpoints')).sort(), ['step-2', 'step-3'])
  const found = await findResumption(form, path, undefined, identity, 2)
  t.match(found, { folder: path, checkpoint: { state: { step: 3 } }, warnings: [] })
  const named = await findResumption(form, path, 2, identity, 2)
  t.match(named.checkpoint, { state: { step: 2 }, vectors: { adapter } })
  const { context, told, logs } = makeContext()
  const other = join(path, 'other')
  const second = await RunFolder.open(other, form, identity, named, context, [{ type: 'retold' }])
  t.same(readdirSync(join(other, 'checkpoints')), ['step-2'], 'another folder gets the checkpoint too')
  const [[log, start]] = logs as [[string, number]]
  t.equal(log, join(other, 'events.ndjson'))
  t.ok(start > named.checkpoint!.state.eventBytes)
  await second.tell({ type: 'step', step: 3 })
  t.ok((told as [object, number][])[0]![1] > start)
  await second.close()
  await t.rejects(findResumption(form, join(path, 'none'), undefined, identity, 2), {
    code: 'E_CHECKPOINT',
    message: /does not exist/,
  })
})
