/**
 * What the federation is compared with, trained by the same recipe from the same adapter with the same budget as one client has
 * over all rounds: `global` on everybody's rows in one place, `local` on each client's rows alone, by the options that are its own.
 */
import { join } from 'node:path'
import { z } from 'zod'
import type { Dataset } from '../../data/index.js'
import { FedloraError } from '../../errors.js'
import { type EvaluationResult, evaluate } from '../../evaluation/evaluate.js'
import { exists } from '../../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import type { Adapter } from '../../model/adapter.js'
import { train } from '../../training/train.js'
import type { BaselineReport } from '../events.js'
import type { FederationConfig } from '../options.js'
import { deriveSeed, streamOf } from '../protocol/random.js'
import { type Clients, pooledRows } from './clients.js'
import type { Locals } from './overrides.js'

export interface BaselineTools {
  config: FederationConfig
  clients: Clients
  locals: Locals
  /** Overwritten. */
  adapter: Adapter
  initial: Float32Array
  evaluation: Dataset | undefined
  /** Run folder, when there is one. */
  folder: string | undefined
  signal: AbortSignal
  onStep?(name: string, step: number, steps: number | null, loss: number, tokensPerSecond: number): void
}

const reportSchema = z.strictObject({
  kind: z.enum(['global', 'local']),
  client: z.int().min(0).optional(),
  name: z.string(),
  loss: z.number().nullable(),
  steps: z.int().min(0),
  tokens: z.int().min(0),
  evaluation: z
    .strictObject({ loss: z.number(), perplexity: z.number(), tokenAccuracy: z.number(), tokens: z.int().min(0) })
    .nullable(),
  adapter: z.string().nullable(),
})

interface Task {
  kind: BaselineReport['kind']
  client?: number
  name: string
  /** Folder below `baselines/`. */
  place: string
  /** The federation's, or the client's own. */
  local: FederationConfig['local']
  data: () => Promise<Dataset> | Dataset
}

function tasks({ config, clients, locals }: BaselineTools): Task[] {
  const wanted: Task[] = []
  if (config.baselines.includes('global')) {
    const everybody = { name: 'global', place: 'global', data: () => pooledRows(clients) }
    wanted.push({ kind: 'global', local: config.local, ...everybody })
  }
  if (config.baselines.includes('local')) {
    const indices = Array.from({ length: clients.length }, (_, index) => index)
    for (const index of indices.sort((a, b) => clients.place(a) - clients.place(b))) {
      const client = clients.place(index)
      const name = clients.name(index)
      const alone = { client, name, place: `local-${client}`, data: () => clients.data(index) }
      wanted.push({ kind: 'local', local: locals.of(index), ...alone })
    }
  }
  return wanted
}

async function runTask(tools: BaselineTools, task: Task): Promise<BaselineReport> {
  const { config, adapter, initial, evaluation, signal } = tools
  const { steps, epochs, schedule, ...recipe } = task.local
  const place = tools.folder === undefined ? undefined : join(tools.folder, 'baselines', task.place)
  const total = steps === undefined ? null : steps * config.rounds
  adapter.setVector(initial)
  const begun = place !== undefined && (await exists(join(place, 'config.json')))
  const run = train(adapter, await task.data(), {
    ...recipe,
    ...(steps === undefined ? { epochs: epochs! * config.rounds } : { maxSteps: steps * config.rounds }),
    schedule: config.baselineSchedule ?? schedule,
    seed: deriveSeed(config.seed, 'baseline', 0, task.client === undefined ? 0 : streamOf(task.name)),
    ...(place === undefined ? {} : begun ? { resumeFrom: place } : { outputDir: place }),
    signal,
  })
  for await (const event of run) {
    if (event.type === 'step') tools.onStep?.(task.name, event.step, total, event.loss, event.tokensPerSecond)
  }
  const result = await run
  let measured: EvaluationResult | null = null
  if (evaluation) measured = await evaluate(adapter, evaluation, { signal })
  if (place !== undefined) await adapter.save(join(place, 'adapter'))
  return {
    kind: task.kind,
    ...(task.client === undefined ? {} : { client: task.client }),
    name: task.name,
    loss: result.supervisedTokens > 0 ? result.loss : null,
    steps: result.steps,
    tokens: result.tokens,
    evaluation: measured,
    adapter: place === undefined ? null : join(place, 'adapter'),
  }
}

/** A finished baseline's report. It carries no seal: what it says is of no consequence for the run, but must have the promised form. */
async function readReport(file: string): Promise<BaselineReport> {
  const parsed = reportSchema.safeParse(await readJsonObject(file, 'baseline'))
  if (parsed.success) return parsed.data as BaselineReport
  const { path, message } = parsed.error.issues[0]!
  const cure = 'remove the file to run this baseline again'
  throw new FedloraError('E_CHECKPOINT', `'${file}': ${path.join('.')}: ${message}; ${cure}`, { file })
}

/** Runs every baseline that is not done yet; a finished one is read back from the run folder. */
export async function* runBaselines(tools: BaselineTools): AsyncGenerator<BaselineReport> {
  for (const task of tasks(tools)) {
    tools.signal.throwIfAborted()
    const file = tools.folder && join(tools.folder, 'baselines', task.place, 'result.json')
    if (file && (await exists(file))) {
      yield await readReport(file)
      continue
    }
    const report = await runTask(tools, task)
    if (file) await writeJsonFile(file, report)
    yield report
  }
}
