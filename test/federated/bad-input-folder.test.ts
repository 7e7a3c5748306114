/** A federation's folder in which one thing is damaged, gone, edited or foreign: each is refused by a code, and nothing in it is lost. */
import { cpSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { copiesOf, damagesOf, edit } from '../support/damages.js'
import { goldenFolder } from '../support/golden-model.js'
import { filesOf } from '../support/run-folder.js'
import { temporaryFolder } from '../support/train.js'
import { eventsOf, federation } from './support/federation.js'

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('federation-folder')
const whole = join(root, 'whole')
;(await simulate(await federation(model, { outputDir: whole }))).adapter.dispose()
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const copy = copiesOf(whole, root)

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

const round = 'checkpoints/round-5'

t.test('canary: the undamaged copy is taken, however state.json is spelt', async (t) => {
  const folder = copy()
  edit(join(folder, round), (content) => {
    const { round, ...rest } = content
    for (const key of Object.keys(content)) delete content[key]
    Object.assign(content, rest, { round })
  })
  await resume(folder)
  t.same(eventsOf(folder), eventsOf(whole))
})

const damages = damagesOf(join(whole, round), 'round', ['adapter', 'moment1'])
t.ok(damages.length > 20, `${damages.length} damages`)
for (const { name, befall, code, message } of damages) {
  await refused(name, (folder) => befall(join(folder, round)), code, message)
}
for (const { name, befall, code, message } of [
  { name: 'gone', befall: rmSync, code: 'E_CHECKPOINT', message: /'adapter\.f32' is missing/ },
  { name: 'torn', befall: (at: string) => truncateSync(at, 100), code: 'E_CHECKPOINT', message: /is damaged/ },
]) {
  await refused(`the initial adapter ${name}`, (folder) => befall(join(folder, 'initial/adapter.f32')), code, message)
}
await refused(
  'config.json of another kind',
  (folder) => writeFileSync(join(folder, 'config.json'), '{"kind":"train"}'),
  'E_CHECKPOINT',
  /not the config of a federation; name the folder of one/,
)
await refused(
  'config.json gone',
  (folder) => rmSync(join(folder, 'config.json')),
  'E_CHECKPOINT',
  /has lost its config\.json; put it back/,
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

const residual = readdirSync(join(whole, 'own')).sort()[0]!
await refused(
  'a residual gone',
  (folder) => rmSync(join(folder, 'own', residual)),
  'E_CHECKPOINT',
  new RegExp(`${residual.replaceAll('.', '\\.')}' is missing`),
)

t.test('a folder where a residual that nothing names lay does no harm', async (t) => {
  const folder = copy()
  mkdirSync(join(folder, 'own', 'client-0.v.round-99.flup', 'x'), { recursive: true })
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

t.test('no folder for what clients keep: what to do is said', async (t) => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = '/dev/null/nowhere'
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  await t.rejects(simulate(await federation(model)), { code: 'E_IO', message: /TMPDIR.*outputDir/ })
})
