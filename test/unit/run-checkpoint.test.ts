/** Checkpoints: whole or refused, byte by byte; their numbers, and which of them stay. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { isFedloraError } from '../../src/errors.js'
import {
  checkpointName,
  listCheckpoints,
  pruneCheckpoints,
  readCheckpoint,
  resumeTarget,
  writeCheckpoint,
} from '../../src/run/checkpoint.js'
import { writeSealed } from '../../src/run/sealed.js'
import { readVector } from '../../src/run/vectors.js'

const schema = z.strictObject({ step: z.int(), note: z.string() })
const adapter = Float32Array.of(1.5, -2, 3e-30)
const moment = Float32Array.of(0, 4, 5)
const state = { step: 3, note: 'ünïcode' }

async function write(folder: string): Promise<string> {
  await writeCheckpoint(folder, 'step', state, { adapter, moment, none: new Float32Array(0) })
  return join(folder, checkpointName('step', 3))
}

t.test('what is written is read; empty vectors are no files; the values lie bare in theirs', async (t) => {
  const folder = t.testdir()
  const path = await write(folder)
  t.equal(path, join(folder, 'checkpoints/step-3'))
  t.same(readdirSync(path).sort(), ['adapter.f32', 'moment.f32', 'state.json'])
  t.same([...new Float32Array(new Uint8Array(readFileSync(join(path, 'adapter.f32'))).buffer)], [...adapter])
  t.same(await readCheckpoint(folder, 'step', 3, schema, 3), { state, vectors: { adapter, moment } })
})

t.test('bytes of a vector that make no whole value are left out', async (t) => {
  const path = join(t.testdir(), 'torn.f32')
  writeFileSync(path, Buffer.concat([Buffer.from(adapter.buffer), Buffer.from([1, 2, 3])]))
  t.same(await readVector(path), adapter)
})

t.test('a byte changed anywhere is refused', async (t) => {
  const folder = t.testdir()
  const path = await write(folder)
  const codes = new Map<string, number>()
  let spaces = 0
  for (const name of readdirSync(path)) {
    const whole = readFileSync(join(path, name))
    for (let at = 0; at < whole.length; at++) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1 << (at % 7)
      writeFileSync(join(path, name), bytes)
      try {
        const read = await readCheckpoint(folder, 'step', 3, schema, 3)
        t.same(read.state, state, `byte ${at} of ${name}`)
        spaces++ // between the values of state.json
      } catch (error) {
        const code = isFedloraError(error) ? error.code : String(error)
        codes.set(code, (codes.get(code) ?? 0) + 1)
      }
    }
    writeFileSync(join(path, name), whole)
  }
  t.same([...codes.keys()].sort(), ['E_CHECKPOINT', 'E_FORMAT', 'E_VERSION'])
  t.ok(spaces < 40, `${spaces} bytes of white space`)
  t.same((await readCheckpoint(folder, 'step', 3, schema, 3)).state, state, 'canary: mended, it is read')
})

t.test('another adapter, another number, another form', async (t) => {
  const folder = t.testdir()
  const path = await write(folder)
  const read = (number: number, length: number) => readCheckpoint(folder, 'step', number, schema, length)
  await t.rejects(read(3, 4), { code: 'E_CHECKPOINT', message: /another adapter: 'adapter' has 3 values, expected 4/ })
  cpSync(path, join(folder, 'checkpoints/step-9'), { recursive: true })
  await t.rejects(read(9, 3), { code: 'E_CHECKPOINT', message: /of step 3, not of the step in its name; give/ })
  await writeCheckpoint(folder, 'step', { ...state, step: 4 }, { adapter, moment1: Float32Array.of(1) })
  await t.rejects(read(4, 3), { code: 'E_CHECKPOINT', message: /'moment1' has 1 values, expected 3/ })
  await writeCheckpoint(folder, 'step', { ...state, step: 5 }, { moment })
  await t.rejects(read(5, 3), { code: 'E_CHECKPOINT', message: /'adapter' has 0 values/ })
  await writeSealed(join(folder, 'checkpoints/step-6'), 3, { step: 6, note: 7 }, async () => {})
  await t.rejects(read(6, 3), { code: 'E_CHECKPOINT', message: /state\.json: note: / })
  await writeSealed(join(folder, 'checkpoints/step-7'), 2, { step: 7, note: '' }, async () => {})
  await t.rejects(read(7, 3), { code: 'E_VERSION', details: { version: 2, expected: 3 } })
})

t.test('the newest first; what is not kept goes, and what writers left', async (t) => {
  const folder = t.testdir()
  t.same(await listCheckpoints(folder, 'step'), [])
  const parent = join(folder, 'checkpoints')
  for (const name of ['step-2', 'step-10', 'step-9', 'round-4', 'step-x', '.step-3.1.ab.tmp', 'notes']) {
    mkdirSync(join(parent, name), { recursive: true })
  }
  t.same(await listCheckpoints(folder, 'step'), [10, 9, 2])
  t.same(await listCheckpoints(folder, 'round'), [4])
  await pruneCheckpoints(folder, 'step', [9, 2])
  t.same(readdirSync(parent).sort(), ['notes', 'round-4', 'step-2', 'step-9', 'step-x'])
  t.notOk(existsSync(join(parent, 'step-10')))
})

t.test('a run folder, or one checkpoint of it', (t) => {
  t.same(resumeTarget('/a/run'), { folder: '/a/run', number: undefined })
  t.same(resumeTarget('/a/run/checkpoints/step-12'), { folder: '/a/run', number: 12 })
  t.same(resumeTarget('/a/run/checkpoints/round-2', 'round'), { folder: '/a/run', number: 2 })
  t.same(resumeTarget('/a/run/step-12'), { folder: '/a/run/step-12', number: undefined })
  t.same(resumeTarget('/a/run/checkpoints/round-2'), { folder: '/a/run/checkpoints/round-2', number: undefined })
  t.end()
})
