/** What a training run's checkpoint holds beside its vectors, and who the run is. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Dataset } from '../data/dataset.js'
import type { Adapter } from '../model/adapter.js'
import type { FrozenResidual } from '../model/residual.js'
import { native } from '../native/load.js'
import type { RunForm } from '../run/folder.js'
import { describeSchedule, type Identity, identityOf } from '../run/identity.js'
import { progressSchema } from './loop.js'
import type { TrainConfig } from './options.js'
import { ledgerName } from './privacy-ledger.js'

const count = z.int().min(0)

const evaluationSchema = z.strictObject({
  loss: z.number(),
  /** e^loss: infinite from a loss of 710 on, which JSON writes as null. */
  perplexity: z
    .number()
    .nullable()
    .transform((value) => value ?? Number.POSITIVE_INFINITY),
  tokenAccuracy: z.number(),
  tokens: count,
})

/** The vectors beside it are the adapter and the optimiser's moments. */
const stateSchema = progressSchema.extend({
  totalSteps: count,
  evaluation: evaluationSchema.nullable(),
  /** False when the evaluation that is due at this step has not run yet. */
  evaluated: z.boolean(),
  /** Of `evaluate.best` and `evaluate.patience`. */
  best: evaluationSchema.extend({ step: count }).nullable(),
  sinceBest: count,
  eventBytes: count,
  /** False when it was written because the run was told to end: such a one has no event. */
  announced: z.boolean(),
})

export type TrainState = z.output<typeof stateSchema>

export const trainForm: RunForm<TrainState> = {
  kind: 'train',
  unit: 'step',
  state: stateSchema,
  length: ['totalSteps', 'options.epochs', 'options.maxSteps'],
  writes: ['best', ledgerName],
  older: true,
}

/** Everything that decides the bits of a run. @param noiseMultiplier - of private steps, which a budget decides together with their number. */
export function identify(
  adapter: Adapter,
  data: Dataset,
  config: TrainConfig,
  totalSteps: number,
  noiseMultiplier?: number,
): Identity {
  const { outputDir, resumeFrom, signal, memoryBudget, checkpointEvery, keepCheckpoints, tensorboard, ...rest } = config
  const { evaluate, ...recipe } = rest
  const residual = adapter.residual()
  return identityOf('train', adapter, native().info().isa, {
    totalSteps,
    ...(residual === null ? {} : { residual: digestOf(residual) }),
    ...(noiseMultiplier === undefined ? {} : { noiseMultiplier }),
    options: { ...recipe, schedule: describeSchedule(recipe.schedule) },
    data: { fingerprint: data.fingerprint, rows: data.length, format: data.format, maxLength: data.maxLength },
    evaluate: evaluate === undefined ? null : describeEvaluation(evaluate),
  })
}

function digestOf({ ranks, values }: FrozenResidual): string {
  return createHash('sha256').update(JSON.stringify(ranks)).update(values).digest('hex')
}

function describeEvaluation({ data, every, best }: NonNullable<TrainConfig['evaluate']>): object {
  return { fingerprint: data.fingerprint, every: every ?? null, ...(best === undefined ? {} : { best }) }
}
