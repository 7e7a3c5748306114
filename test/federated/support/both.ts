/** Federations of every kind, once simulated and once between a server and clients, over a golden model: for tests that compare the two. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { algorithms } from '../../../src/federated/algorithms/index.js'
import { MemoryBlobs } from '../../../src/federated/blobs/memory.js'
import { Coordinator } from '../../../src/federated/coordinator/coordinator.js'
import type { CoordinatorOptions } from '../../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../../src/federated/journal/memory.js'
import { InProcessLink } from '../../../src/federated/link/in-process.js'
import type { FederationOptions } from '../../../src/federated/options.js'
import { takePart } from '../../../src/federated/participant/join.js'
import { type SimulateOptions, simulate } from '../../../src/federated/simulate/simulate.js'
import type { WorkQueue } from '../../../src/federated/workers/work-queue.js'
import { loadModel } from '../../../src/model/load.js'
import { goldenFolder } from '../../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../../support/train.js'
import { timeless } from './federation.js'

const path = goldenFolder('llama')
const model = await loadModel(path, { threads: 1 })
const root = temporaryFolder('served-algorithms')
t.teardown(() => {
  model.dispose()
  rmSync(root, { recursive: true })
})

const adapter = { rank: 4, alpha: 8, seed: 2, targetModules: ['q_proj', 'down_proj'] }
const names = ['a', 'b', 'c']
const rows = await Promise.all(names.map((_, i) => tokenRows(5 + ((i * 3) % 7), 263, 17 * i)))
const local = { steps: 1, batchSize: 2, learningRate: 1e-2 }

const adapterIn = (folder: string) =>
  ['adapter_model.safetensors', 'adapter_config.json'].map((file) => readFileSync(join(folder, 'adapter', file)))

export interface Case {
  federation?: Partial<FederationOptions> & Pick<Partial<CoordinatorOptions['federation']>, 'overrides'>
  ranks?: Record<string, { rank?: number; alpha?: number }>
}

/** What rounds tell, but for times, memory and what only a simulation can measure. */
function roundsIn(folder: string): Record<string, unknown>[] {
  const lines = readFileSync(join(folder, 'events.ndjson'), 'utf8').trim().split('\n')
  const events = lines.map((line) => timeless(JSON.parse(line)) as Record<string, unknown>)
  return events.filter(({ type }) => type === 'round').map(({ cosine, aggregationError, ...rest }) => rest)
}

let cases = 0

/** What both federations came to: the files of their adapters, and what their rounds told. */
export async function both(
  { federation: given, ranks = {} }: Case,
  parts: { queue?: WorkQueue; workers?: CoordinatorOptions['workers']; blobs?: MemoryBlobs } = {},
) {
  const federation = { rounds: 2, seed: 11, local, ...given }
  const folder = join(root, String(cases++))
  const clients = names.map((name, i) => ({ name, train: rows[i]!, ...ranks[name] }))
  const run = simulate({
    model,
    adapter,
    clients,
    ...(federation as Partial<SimulateOptions>),
    outputDir: `${folder}-simulated`,
  } as SimulateOptions)
  ;(await run).adapter.dispose()
  const coordinator = await Coordinator.open({
    folder: `${folder}-served`,
    journal: new MemoryJournal<Entry>(),
    blobs: parts.blobs ?? new MemoryBlobs(),
    queue: parts.queue,
    config: {
      workers: parts.workers,
      model: { path },
      adapter,
      data: { format: 'tokens', maxLength: 64 },
      clients: { minimum: 3, ranks },
      federation: federation as CoordinatorOptions['federation'],
    },
  })
  await Promise.all(
    names.map(async (client, i) => {
      const { token } = await coordinator.invite(client, 60)
      await coordinator.enroll(token, `key of ${client}`)
      const link = new InProcessLink(() => coordinator, client)
      await takePart(async () => ({ link, client }), { model, data: rows[i]!, folder: `${folder}-${client}` })
    }),
  )
  await coordinator.over
  await coordinator.close()
  const [simulated, served] = [`${folder}-simulated`, `${folder}-served`]
  return {
    simulated: adapterIn(simulated),
    served: adapterIn(served),
    rounds: { simulated: roundsIn(simulated), served: roundsIn(served) },
  }
}

export const equal = (a: readonly Buffer[], b: readonly Buffer[]) => a.every((bytes, i) => bytes.equals(b[i]!))

export const variations: Record<string, Case> = {
  ...Object.fromEntries(Object.keys(algorithms).map((name) => [name, { federation: { algorithm: name } }])),
  'ranks of their own': { federation: { algorithm: 'flexlora' }, ranks: { b: { rank: 2 }, c: { rank: 3, alpha: 4 } } },
  'ranks that the server prunes': { federation: { algorithm: 'hetlora', rounds: 3 }, ranks: { a: { rank: 2 } } },
  'local options of some': {
    federation: { overrides: { a: { steps: 2 }, '*': { batchSize: 1 }, c: { optimizer: 'sgd', learningRate: 0.1 } } },
  },
  'momentum on the server': { federation: { serverOptimizer: 'momentum', rounds: 3 } },
  adam: { federation: { serverOptimizer: 'adam', rounds: 3 } },
  'a robust rule': { federation: { robust: 'median' } },
  screening: { federation: { screening: { maxNorm: 1e3 } } },
  'clients hidden': {
    federation: {
      algorithm: 'ffa',
      cohort: 0.67,
      rounds: 3,
      privacy: { level: 'client', clip: 0.1, noiseMultiplier: 1, delta: 1e-5, noise: 'seeded' },
    },
  },
  'rows hidden': {
    federation: {
      algorithm: 'ffa',
      privacy: { level: 'example', clip: 1, noiseMultiplier: 1, delta: 1e-5, noise: 'seeded' },
    },
  },
  'parts by turn': { federation: { upload: { segments: 2 }, rounds: 3 } },
  'differences down, error feedback up': {
    federation: { download: { codec: 'int8' }, upload: { codec: 'topk', density: 1 / 8 }, rounds: 3 },
  },
}
