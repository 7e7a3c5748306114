/** A federation's folder in which one thing is damaged, gone, edited or foreign: each is refused by a code, and nothing in it is lost. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { temporaryFolder } from '../support/train.js'
import { eventsOf, federation } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('federation-folder')
const whole = join(root, 'whole')
const state = 'checkpoints/round-5/state.json'
;(await simulate(await federation(model, { outputDir: whole }))).adapter.dispose()
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

let copies = 0
function copy(): string {
  const folder = join(root, `copy-${copies++}`)
  cpSync(whole, folder, { recursive: true })
  return folder
}

async function resume(folder: string): Promise<void> {
  const { adapter } = await simulate(await federation(model, { resumeFrom: folder }))
  adapter.dispose()
}

/** Damages a copy, resumes it, and looks for `code`, a message that names the place, and files that are as the damage left them. */
async function refused(name: string, damage: (folder: string) => void, code: string, message: RegExp): Promise<void> {
  await t.test(name, async (t) => {
    const folder = copy()
    damage(folder)
    const before = filesOf(folder)
    await t.rejects(resume(folder), { code, message })
    t.same(filesOf(folder), before, 'nothing is lost')
  })
}

type Json = Record<string, unknown>
function edit(folder: string, change: (content: Json) => void): void {
  const content = JSON.parse(readFileSync(join(folder, state), 'utf8')) as Json
  change(content)
  writeFileSync(join(folder, state), JSON.stringify(content))
}

t.test('canary: the undamaged copy is taken, however state.json is spelt', async (t) => {
  const folder = copy()
  edit(folder, (content) => {
    const { round, ...rest } = content
    for (const key of Object.keys(content)) delete content[key]
    Object.assign(content, rest, { round })
  })
  await resume(folder)
  t.same(eventsOf(folder), eventsOf(whole))
})

const fields = Object.keys(JSON.parse(readFileSync(join(whole, state), 'utf8')) as Json)
t.same(fields.sort(), ['eventBytes', 'files', 'residuals', 'round', 'rounds', 'seal', 'totals', 'version'])
for (const field of fields) {
  const [code, why] =
    field === 'version'
      ? (['E_VERSION', /version none, expected 3/] as const)
      : (['E_CHECKPOINT', /state\.json was edited/] as const)
  await refused(`state.json without ${field}`, (folder) => edit(folder, (content) => delete content[field]), code, why)
}
await refused(
  'a count edited',
  (folder) => edit(folder, (c) => ((c.totals as Json).tokens = 1)),
  'E_CHECKPOINT',
  /edited/,
)
await refused('a round edited', (folder) => edit(folder, (c) => (c.round = 2)), 'E_CHECKPOINT', /edited/)
await refused('a field more', (folder) => edit(folder, (c) => (c.more = 1)), 'E_CHECKPOINT', /edited/)
await refused('another version', (folder) => edit(folder, (c) => (c.version = 2)), 'E_VERSION', /version 2, expected 3/)
await refused('state.json torn', (folder) => truncateSync(join(folder, state), 40), 'E_FORMAT', /state\.json/)
await refused('state.json gone', (folder) => rmSync(join(folder, state)), 'E_MISSING', /state\.json/)

for (const name of ['adapter', 'moment1']) {
  const file = `checkpoints/round-5/${name}.f32`
  await refused(
    `${name} gone`,
    (folder) => rmSync(join(folder, file)),
    'E_CHECKPOINT',
    new RegExp(`'${name}.f32' is missing`),
  )
  await refused(
    `${name} torn`,
    (folder) => truncateSync(join(folder, file), 100),
    'E_CHECKPOINT',
    new RegExp(`'${name}.f32' is damaged`),
  )
  await refused(
    `one bit of ${name} turned`,
    (folder) => {
      const bytes = readFileSync(join(folder, file))
      bytes[bytes.length - 1]! ^= 1
      writeFileSync(join(folder, file), bytes)
    },
    'E_CHECKPOINT',
    new RegExp(`'${name}.f32' is damaged`),
  )
}
await refused(
  'moments exchanged for the adapter',
  (folder) => cpSync(join(folder, 'checkpoints/round-5/adapter.f32'), join(folder, 'checkpoints/round-5/moment1.f32')),
  'E_CHECKPOINT',
  /moment1/,
)
await refused(
  'a foreign file',
  (folder) => writeFileSync(join(folder, 'checkpoints/round-5/moment2.f32'), 'x'),
  'E_CHECKPOINT',
  /holds 'moment2\.f32'/,
)
await refused(
  'the folder of another round',
  (folder) => cpSync(join(folder, 'checkpoints/round-5'), join(folder, 'checkpoints/round-9'), { recursive: true }),
  'E_CHECKPOINT',
  /of round 5/,
)
await refused(
  'the event log shorter than its checkpoint',
  (folder) => truncateSync(join(folder, 'events.ndjson'), 10),
  'E_CHECKPOINT',
  /shorter/,
)

const residual = readdirSync(join(whole, 'residuals')).sort()[0]!
await refused(
  'a residual gone',
  (folder) => rmSync(join(folder, 'residuals', residual)),
  'E_CHECKPOINT',
  new RegExp(`${residual.replaceAll('.', '\\.')}' is missing`),
)

t.test('a folder where a residual that nothing names lay does no harm', async (t) => {
  const folder = copy()
  mkdirSync(join(folder, 'residuals', 'client-0.round-99.flup', 'x'), { recursive: true })
  await resume(folder)
  t.same(filesOf(folder), filesOf(whole))
})

t.test('a state that cannot be kept is told, beside what ended the run', async (t) => {
  const folder = join(root, 'unkept')
  const controller = new AbortController()
  const run = simulate(await federation(model, { checkpointEvery: 9, outputDir: folder, signal: controller.signal }))
  const failure = await (async () => {
    for await (const event of run) {
      if (event.type !== 'round') continue
      writeFileSync(join(folder, 'checkpoints'), 'in the way')
      controller.abort()
    }
  })().catch((error: unknown) => error as Error)
  t.match(failure, { code: 'E_IO', message: /the state after round 1 could not be kept: .*checkpoints/ })
  t.equal((failure!.cause as Error).name, 'AbortError')
})

t.test('no folder for residuals: what to do is said', async (t) => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = join(root, 'nowhere')
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  await t.rejects(simulate(await federation(model)), { code: 'E_IO', message: /TMPDIR.*outputDir/ })
})
