/** What a federation's checkpoint holds beside its vectors, and who the run is. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import type { Adapter } from '../../model/adapter.js'
import { native } from '../../native/load.js'
import type { RunForm } from '../../run/folder.js'
import { describeSchedule, type Identity, identityOf } from '../../run/identity.js'
import { checkExtension } from '../../training/extension.js'
import type { Chosen } from '../algorithms/algorithm.js'
import type { EvaluationConfig } from '../evaluation-options.js'
import { totalsSchema } from '../figures.js'
import type { FederationConfig } from '../options.js'
import { type Clients, fingerprint, testFingerprint } from './clients.js'
import { clockStateSchema } from './clock/clock.js'
import type { Devices } from './clock/devices.js'
import type { Locals } from './overrides.js'
import { heldSchema } from './waiting.js'

const count = z.int().min(0)

/** The vectors beside it are the server's and its optimiser's moments; what clients keep lies in files of its own. */
const stateSchema = z.strictObject({
  round: z.int().min(1),
  /** Rounds that the run was to do. */
  rounds: z.int().min(1),
  eventBytes: count,
  totals: totalsSchema,
  /** Numbers of the server's state. */
  numbers: z.record(z.string(), z.array(z.number())),
  /** What clients keep: [client, vector, round of its valid file]. */
  own: z.array(z.tuple([z.string(), z.string(), z.int().min(1)])),
  /** Virtual time, and the answers that wait; absent without a clock. */
  time: z.strictObject({ ...clockStateSchema.shape, waiting: z.array(heldSchema) }).optional(),
  /** Clients whose work has counted in some round, as indices into their names in ascending order. */
  tookPart: z.array(count),
})

export type FederationState = z.output<typeof stateSchema>

export const federationForm: RunForm<FederationState> = {
  kind: 'federation',
  unit: 'round',
  state: stateSchema,
  length: ['federation.rounds'],
  writes: ['clients', 'own', 'waiting', 'baselines'],
  older: false,
}

/** What decides the bits of evaluations. */
function judgeOf({ data, every, of, fineTune }: EvaluationConfig, clients: Clients) {
  const fingerprint = data?.fingerprint ?? null
  const tests = of === undefined ? null : testFingerprint(clients)
  return { fingerprint, every, of: of ?? null, fineTune: fineTune ?? null, tests }
}

/** Everything that decides the bits of a run. */
export function identify(
  adapter: Adapter,
  clients: Clients,
  config: FederationConfig,
  { algorithm, options }: Chosen,
  locals: Locals,
  evaluation: EvaluationConfig | undefined,
  devices: Devices | undefined,
): Identity {
  const { outputDir, resumeFrom, concurrency, checkpointEvery, overrides: _, ...federation } = config
  return identityOf('federation', adapter, native().info().isa, {
    clients: { count: clients.length, fingerprint: fingerprint(clients) },
    federation: {
      ...federation,
      algorithm: { name: algorithm.name, ...options },
      overrides: locals.fingerprint,
      ...(devices?.fingerprint != null && { clock: { ...config.clock, trace: devices.fingerprint } }),
      local: { ...federation.local, schedule: describeSchedule(federation.local.schedule) },
      baselineSchedule: describeSchedule(federation.baselineSchedule),
    },
    evaluate: evaluation === undefined ? null : judgeOf(evaluation, clients),
  })
}

/**
 * A federation may grow as a training run may; baselines have the budget of all its rounds, so that with them it may not.
 * @throws FedloraError `E_CHECKPOINT`.
 */
export function checkRounds(config: FederationConfig, { round, rounds: before }: FederationState): void {
  const { rounds, local, baselines } = config
  if (before !== rounds && baselines.length > 0) {
    throw new FedloraError(
      'E_CHECKPOINT',
      `the run was begun with ${before} rounds and its baselines have their budget; resume with ${before} rounds, or start a new run`,
      { field: 'federation.rounds', saved: before, now: rounds },
    )
  }
  const horizon = (steps: number) => ({ steps, warmup: 0, peak: local.learningRate })
  checkExtension({ unit: 'round', done: round, before, now: rounds, schedule: local.schedule, horizon })
}
