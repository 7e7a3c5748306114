/** A whole federation in one process, over links: the adapter of `simulate`, bit for bit. */
import { once } from 'node:events'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { CoordinatorOptions } from '../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import type { ParticipantEvent, ParticipantResult } from '../../src/federated/participant/events.js'
import { type Connect, type ParticipantOptions, takePart } from '../../src/federated/participant/join.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { loadModel } from '../../src/model/load.js'
import { epsilon } from '../../src/privacy/index.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { Crashing } from './support/crash.js'
import { dyingLink } from './support/dying-link.js'

const path = goldenFolder('llama')
const model = await loadModel(path, { quantization: 'nf4', threads: 1 })
const root = temporaryFolder('join')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const adapter = { rank: 4, alpha: 8, seed: 2 }
const names = ['a', 'b', 'c']
const rows = await Promise.all(names.map((_, i) => tokenRows(5 + ((i * 3) % 7), 263, 17 * i)))
const local = { steps: 2, batchSize: 2, learningRate: 1e-2, schedule: 'cosine' as const }

type Join = (connect: Connect, options: ParticipantOptions) => Promise<ParticipantResult>

/** A federation of these options: simulated, and between parties. Gives both adapters' files. */
async function both(
  name: string,
  options: Partial<CoordinatorOptions['federation']>,
  joining: Join = async (...args) => await takePart(...args),
) {
  const federation = { rounds: 3, seed: 11, local, ...options }
  const simulated = join(root, `${name}-simulated`)
  const clients = names.map((client, i) => ({ name: client, train: rows[i]! }))
  const run = simulate({ model, adapter, clients, ...federation, outputDir: simulated })
  ;(await run).adapter.dispose()
  const served = join(root, `${name}-served`)
  const coordinator = await Coordinator.open({
    folder: served,
    journal: new MemoryJournal<Entry>(),
    blobs: new MemoryBlobs(),
    config: {
      model: { path, quantization: 'nf4' },
      adapter,
      data: { format: 'tokens', maxLength: 64 },
      clients: { minimum: 3 },
      federation,
    },
  })
  const results = await Promise.all(
    names.map(async (client, i) => {
      const { token } = await coordinator.invite(client, 60)
      await coordinator.enroll(token, `key of ${client}`)
      const link = new InProcessLink(() => coordinator, client)
      return await joining(async () => ({ link, client }), {
        model,
        data: rows[i]!,
        folder: join(root, `${name}-${client}`),
      })
    }),
  )
  await coordinator.over
  await coordinator.close()
  const fileIn = (folder: string) => readFileSync(join(folder, 'adapter', 'adapter_model.safetensors'))
  return { results, simulated: fileIn(simulated), served: fileIn(served) }
}

const variations: Record<string, Partial<CoordinatorOptions['federation']>> = {
  plain: {},
  'residuals of what topk leaves out': { upload: { codec: 'topk', density: 1 / 8, bits: 4 }, rounds: 4 },
  'differences on the way down': { download: { codec: 'int8' }, rounds: 4 },
  'adapters of their own': { algorithm: 'ditto' },
  'local options of their own': { overrides: { b: { steps: 3 }, c: { learningRate: 5e-3, epochs: 1 } } },
  'cohorts of two': { cohort: 2, rounds: 4 },
  'rows hidden by noise': {
    local: { steps: 2, batchSize: 2, learningRate: 1e-2 },
    privacy: { level: 'example', clip: 0.5, noiseMultiplier: 1, delta: 1e-2, noise: 'seeded' },
  },
}

for (const [name, options] of Object.entries(variations)) {
  t.test(`${name}: the bits of simulate`, async (t) => {
    const { results, simulated, served } = await both(name.replaceAll(' ', '-'), options)
    t.ok(served.equals(simulated))
    t.same(
      results.map(({ rounds }) => rounds),
      names.map(() => options.rounds ?? 3),
    )
  })
}

t.test('an answer that is screened out leaves what its client keeps as before: the bits of simulate', async (t) => {
  const upload = { codec: 'topk', density: 1 / 8, bits: 4 } as const
  const { results, simulated, served } = await both('screened', { upload, rounds: 5, screening: { maxNorm: 0.7 } })
  t.ok(served.equals(simulated))
  // Two rounds in which nobody's counts, one in which that of a alone does not.
  t.same(
    results.map(({ counted }) => counted),
    [2, 3, 3],
    'canary: answers are screened out, and others of the same clients count later',
  )
})

t.test('rows that are hidden: every client tells what its own have spent', async (t) => {
  const told: Record<string, (number | undefined)[]> = {}
  const hearing: Join = async (connect, options) => {
    const run = takePart(connect, options)
    const spent: (number | undefined)[] = []
    for await (const event of run) if (event.type === 'sent') spent.push(event.epsilon)
    told[options.folder.slice(-1)] = spent
    return await run
  }
  const privacy = { level: 'example', clip: 0.5, noiseMultiplier: 1, delta: 1e-2, accountant: 'rdp' } as const
  const plain = { steps: 2, batchSize: 2, learningRate: 1e-2 }
  await both('hidden', { local: plain, privacy }, hearing)
  for (const [i, name] of names.entries()) {
    const expected = [2, 4, 6].map((steps) => {
      const spend = { sampleRate: 2 / rows[i]!.length, noiseMultiplier: 1, steps }
      return epsilon({ ...spend, delta: 1e-2, accountant: 'rdp' }).epsilon
    })
    t.same(told[name], expected, name)
  }
  t.not(told.a![2], told.b![2], 'canary: clients of other rows')
  await both('hidden-from-nobody', { local: plain, rounds: 1, privacy: { ...privacy, noise: 'seeded' } }, hearing)
  t.same(told.a, [undefined], 'noise that everybody can make hides nothing')
})

t.test('a folder is one client: whoever comes second is told who has it, and the first goes on', async (t) => {
  const folder = join(root, 'shared')
  let connecting = 0
  const absent: Connect = async (signal) => {
    connecting++
    if (!signal.aborted) await once(signal, 'abort')
    throw signal.reason
  }
  const first = takePart(absent, { model, data: rows[0]!, folder })
  while (connecting === 0) await new Promise((resolve) => setImmediate(resolve))
  await t.rejects(Promise.resolve(takePart(absent, { model, data: rows[0]!, folder })), {
    code: 'E_LOCKED',
    details: { pid: process.pid },
  })
  t.equal(connecting, 1, 'the second calls no server')
  first.stop()
  t.match(await first, { rounds: null })
})

t.test('after the end the folder knows what came of it, and needs no server', async (t) => {
  const events: ParticipantEvent[] = []
  const connect = async () => t.fail('connected') as never
  const run = takePart(connect, { model, data: rows[0]!, folder: join(root, 'plain-a') })
  for await (const event of run) events.push(event)
  t.same(events, [{ type: 'over', rounds: 3, counted: 3 }])
  t.match(await run, { rounds: 3, counted: 3 })
})

t.test('clients that die again and again, and come back: the bits of simulate', async (t) => {
  const deaths: Record<string, number> = {}
  // One process dies at a time, so that its files are known: those of the folder of its name.
  const dying: Join = async (connect, options) => {
    const name = options.folder.slice(-1)
    deaths[name] = 0
    if (name !== 'b') return await takePart(connect, options)
    for (let at = 5; ; at += 4) {
      const crashing = new Crashing(at, options.folder)
      const connecting: Connect = async (signal) => {
        const { link, ...rest } = await connect(signal)
        return { ...rest, link: dyingLink(link, (point) => crashing.point(point)) }
      }
      const ended = await crashing.during(() =>
        takePart(connecting, options).then(
          (result) => ({ result }),
          () => undefined,
        ),
      )
      if (ended !== undefined) return ended.result
      deaths[name]++
      for (const file of readdirSync(options.folder)) if (file.startsWith('lock.')) rmSync(join(options.folder, file))
    }
  }
  const { results, simulated, served } = await both(
    'dying',
    { upload: { codec: 'topk', density: 1 / 8, bits: 4 } },
    dying,
  )
  t.ok(served.equals(simulated))
  t.same(
    results.map(({ counted }) => counted),
    [3, 3, 3],
  )
  t.ok(deaths.b! >= 8, `${deaths.b} deaths`)
})
