/** A disk that takes no more, and places that cannot be written: a coded error, older files as they were, nothing half-written left. */
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { quantizeModel } from '../../src/model/quantize.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { follow, runProgram } from '../support/programs.js'
import { temporaryFolder, tokenRows } from '../support/train.js'

/** Contents by relative path. Latin-1 texts, because the test runner takes minutes to compare large buffers. */
function contents(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath ?? entry.path, entry.name)
      return [path.slice(folder.length + 1), readFileSync(path, 'latin1')]
    }),
  )
}

function equal(a: Map<string, string>, b: Map<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, text]) => b.get(path) === text)
}

/** Runs the program where no file may grow beyond so many KiB: writing more fails as on a full disk (the signal that also comes is not). */
async function writeLimited(kibibytes: number, ...words: string[]) {
  const program = resolve('test/support/disk/write.mjs')
  const script = `unset NODE_OPTIONS && trap '' XFSZ && ulimit -f ${kibibytes} && exec "$0" "$@"`
  const child = spawn('bash', ['-c', script, process.execPath, program, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const { code, signal, stdout, stderr, hung } = await follow(child)
  if (code !== 0) throw new Error(`ended with ${signal ?? code}${hung ? ' (hung)' : ''}: ${stderr}`)
  return JSON.parse(stdout)
}

async function write(...words: string[]) {
  const { code, stdout, stderr } = await runProgram('disk/write.mjs', words)
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

t.test('the updates of a round on a full disk: the one is refused, the others stay, and nothing is left', async (t) => {
  const folder = temporaryFolder('full-updates')
  const failure = await writeLimited(100, 'updates', folder)
  t.match(failure, { name: 'small 0.5', code: 'E_IO', message: /cannot keep the update 'large'.*(too large|space)/i })
  t.equal(contents(folder).size, 0)
  t.same(await writeLimited(20_000, 'updates', folder), { written: true }, 'canary: with room it is written')
  rmSync(folder, { recursive: true })
})

for (const what of ['save', 'merge', 'quantize'] as const) {
  t.test(`${what} on a full disk: the older files stay`, async (t) => {
    const folder = temporaryFolder(`full-${what}`)
    t.same(await write(what, folder, 'old'), { written: true })
    const before = contents(folder)
    const failure = await writeLimited(100, what, folder)
    t.match(failure, { name: 'FedloraError', code: 'E_IO', message: /safetensors.*(too large|space)/i })
    t.ok(equal(contents(folder), before), 'every file as it was, and no further one')
    t.same(await writeLimited(20_000, what, folder), { written: true }, 'canary: with room it is written')
    t.notOk(equal(contents(folder), before), 'canary: and then it differs')
    rmSync(folder, { recursive: true })
  })
}

for (const [what, checkpoint] of [
  ['checkpoint', /checkpoints\/.*step-4/],
  ['simulate', /cannot keep the update 'client-0'.*too large/],
] as const) {
  t.test(`${what}: a run that meets a full disk goes on later as if nothing had been`, async (t) => {
    const folder = temporaryFolder('full-run')
    const unbroken = temporaryFolder('free-run')
    for (const place of [folder, unbroken]) t.same(await write(what, place, 'old'), { written: true })
    const before = contents(folder)
    const failure = await writeLimited(100, what, folder)
    t.match(failure, { name: 'FedloraError', code: 'E_IO', message: checkpoint })
    const after = contents(folder)
    for (const [path, bytes] of before) {
      if (path.endsWith('events.ndjson')) t.ok(after.get(path)!.startsWith(bytes), path)
      else t.ok(after.get(path) === bytes, path)
    }
    t.same(
      [...after.keys()].filter((path) => path.includes('.tmp')),
      [],
      'nothing half-written',
    )
    for (const place of [folder, unbroken]) t.same(await write(what, place), { written: true })
    const adapter = join('run', 'adapter', 'adapter_model.safetensors')
    const [broken, whole] = [folder, unbroken].map((place) => contents(place).get(adapter)!)
    t.ok(broken === whole, 'the same adapter')
    t.notOk(before.get(adapter) === whole, 'canary: the older one was another')
    rmSync(folder, { recursive: true })
    rmSync(unbroken, { recursive: true })
  })
}

t.test('a run that cannot even begin', async (t) => {
  const folder = temporaryFolder('full-start')
  t.match(await writeLimited(100, 'run', folder), { code: 'E_IO', message: /step-0/ })
  t.same(
    [...contents(folder).keys()].filter((path) => path.includes('.tmp')),
    [],
  )
  rmSync(folder, { recursive: true })
})

t.test('places that cannot be written', async (t) => {
  const folder = temporaryFolder('unwritable')
  const file = join(folder, 'file')
  writeFileSync(file, 'a file, not a folder')
  mkdirSync(join(folder, 'taken', 'adapter_model.safetensors'), { recursive: true })
  using model = await loadModel(goldenFolder('llama'), { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  const data = await tokenRows(4, 263)
  for (const place of [join(file, 'below'), '/dev/null/x']) {
    const refused = { name: 'FedloraError', code: 'E_IO', message: new RegExp(place.replace(/.*\/(?=[^/]*\/)/, '')) }
    await t.rejects(adapter.save(place), refused, `save ${place}`)
    await t.rejects(adapter.merge(place), refused, `merge ${place}`)
    await t.rejects(quantizeModel(goldenFolder('llama'), place), refused, `quantize ${place}`)
    await t.rejects(train(adapter, data, { maxSteps: 1, outputDir: place }), refused, `train ${place}`)
    await t.rejects(
      async () => {
        const run = simulate({ model, clients: [data], rounds: 1, local: { steps: 1, batchSize: 2 }, outputDir: place })
        for await (const _ of run);
      },
      refused,
      `simulate ${place}`,
    )
  }
  await t.rejects(adapter.save(join(folder, 'taken')), { code: 'E_IO', message: /adapter_model\.safetensors/ })
  t.equal(readFileSync(file, 'utf8'), 'a file, not a folder')
  t.same(readdirSync(join(folder, 'taken')), ['adapter_model.safetensors'], 'no temporary file is left')
  await adapter.save(join(folder, 'new', 'deep'))
  t.equal(readdirSync(join(folder, 'new', 'deep')).length, 2, 'canary: a new place is made')
  rmSync(folder, { recursive: true })
})
