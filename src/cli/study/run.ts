/** Runs the trials of a study one after the other over one model; what is done is kept, and a study goes on where it was stopped. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Dataset, loadDataset } from '../../data/index.js'
import { evaluate } from '../../evaluation/evaluate.js'
import type { FederationEvent } from '../../federated/events.js'
import { simulate } from '../../federated/simulate/simulate.js'
import type { Model } from '../../model/model.js'
import { gsm8kFolder } from '../demo/assets.js'
import { kindOf, kinds } from '../demo/data.js'
import { openStudyFolder } from './folder.js'
import type { Arm, Budget, Setting, Study, Trial } from './study.js'

/** The part of a study that is run. */
export interface Plan {
  study: Study
  budget: Budget
  settings: readonly Setting[]
  arms: readonly Arm[]
}

export function planOf(study: Study, quick: boolean): Plan {
  if (!quick) return { study, budget: study.full, settings: study.settings, arms: study.arms }
  const { settings, arms, ...budget } = study.quick
  return {
    study,
    budget,
    settings: study.settings.filter(({ name }) => settings.includes(name)),
    arms: study.arms.filter(({ name }) => arms.includes(name)),
  }
}

interface Rows {
  train: Dataset
  heldOut: Dataset
}

/** The first rows of every kind of arithmetic that the model has positions for, and the held-out rows. */
async function readRows(model: Model, { rowsEach, heldOut }: Budget): Promise<Rows> {
  const options = { format: 'gsm8k', tokenizer: model, maxLength: model.config.maxPositions, overlong: 'drop' } as const
  const lines = (await readFile(join(gsm8kFolder, 'train.jsonl'), 'utf8')).trim().split('\n')
  const left = new Map<string, number>(kinds.map((kind) => [kind, rowsEach]))
  const rows: Record<string, unknown>[] = []
  for (const line of lines) {
    const row = JSON.parse(line) as { question: string; answer: string }
    const kind = kindOf(row.answer)
    if (left.get(kind)! === 0) continue
    left.set(kind, left.get(kind)! - 1)
    rows.push({ ...row, kind })
  }
  const test = await loadDataset(join(gsm8kFolder, 'test.jsonl'), options)
  const first = Array.from({ length: Math.min(heldOut, test.length) }, (_, row) => row)
  return { train: await loadDataset(rows, { ...options, category: 'kind' }), heldOut: test.subset(first) }
}

/** What the trials of a folder have in common. */
function identityOf({ study, budget, settings, arms }: Plan) {
  return {
    study: study.name,
    budget,
    settings: settings.map(({ name, attackers }) => (attackers === undefined ? name : { name, attackers })),
    arms: arms.map(({ name, algorithm, traffic, robust }) => ({ name, algorithm, ...traffic, robust })),
  }
}

export interface Progress {
  /** Trials done and in all. */
  done: number
  total: number
  setting: string
  arm: string
  seed: number
}

const noTraffic = { bytesUp: 0, bytesDown: 0, bytesUpRaw: 0, bytesDownRaw: 0 }

async function runTrial(
  model: Model,
  { train, heldOut }: Rows,
  { study, budget }: Plan,
  { setting, arm, seed }: { setting: Setting; arm: Arm; seed: number },
  signal: AbortSignal,
  tell: (event: FederationEvent) => void,
): Promise<Trial> {
  const clients = setting.clients(train, seed)
  const started = performance.now()
  const run = simulate({
    model,
    adapter: { rank: study.rank, alpha: 2 * study.rank, seed },
    clients,
    rounds: budget.rounds,
    local: { steps: budget.steps, batchSize: budget.batchSize, learningRate: 5e-3, schedule: 'cosine' },
    algorithm: arm.algorithm,
    ...arm.traffic,
    ...(arm.robust !== undefined && { robust: arm.robust }),
    ...(setting.attackers !== undefined && { attackers: setting.attackers }),
    seed,
    evaluate: { data: heldOut, every: 1, ...(study.personal !== false && { of: 'personal' }) },
    signal,
  })
  const trial: Trial = {
    setting: setting.name,
    arm: arm.name,
    seed,
    losses: [],
    errors: [],
    personal: [],
    ...noTraffic,
    seconds: 0,
  }
  for await (const event of run) {
    tell(event)
    if (event.type === 'round') trial.errors.push(event.aggregationError)
    else if (event.type === 'evaluation') {
      if (event.clients === undefined) trial.losses.push(event.loss)
      else trial.personal.push(event.clients.mean)
    }
  }
  const result = await run
  using adapter = result.adapter
  const wanted = await setting.wanted?.(heldOut, await model.tokenizer())
  const obeyed = wanted && (await evaluate(adapter, wanted, { signal })).tokenAccuracy
  const { bytesUp, bytesDown, bytesUpRaw, bytesDownRaw } = result
  const bytes = { bytesUp, bytesDown, bytesUpRaw, bytesDownRaw }
  const seconds = (performance.now() - started) / 1000
  return { ...trial, ...(obeyed !== undefined && { obeyed }), ...bytes, seconds }
}

/** Runs what is missing of a plan in `folder`; gives all its trials. */
export async function runStudy(
  model: Model,
  plan: Plan,
  folder: string,
  signal: AbortSignal,
  onProgress: (progress: Progress, event?: FederationEvent) => void,
): Promise<readonly Trial[]> {
  const done = await openStudyFolder<Trial>(folder, identityOf(plan))
  const rows = await readRows(model, plan.budget)
  const wanted = plan.settings.flatMap((setting) =>
    Array.from({ length: plan.budget.seeds }, (_, i) => i + 1).flatMap((seed) =>
      plan.arms.map((arm) => ({ setting, arm, seed })),
    ),
  )
  for (const one of wanted) {
    const { setting, arm, seed } = one
    const isSame = (trial: Trial) => trial.setting === setting.name && trial.arm === arm.name && trial.seed === seed
    if (done.trials.some(isSame)) continue
    signal.throwIfAborted()
    const progress = { done: done.trials.length, total: wanted.length, setting: setting.name, arm: arm.name, seed }
    onProgress(progress)
    const trial = await runTrial(model, rows, plan, one, signal, (event) => onProgress(progress, event))
    await done.add(trial)
  }
  return done.trials
}
