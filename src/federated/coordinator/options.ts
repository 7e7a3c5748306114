/** Options of a federation's server, whatever lies between it and its clients: all but where it listens. */
import { z } from 'zod'
import { datasetOptionsSchema } from '../../data/dataset-options.js'
import { FedloraError } from '../../errors.js'
import { adapterOptionsSchema } from '../../model/adapter-options.js'
import { modelOptionsSchema } from '../../model/model-options.js'
import { parseOptions } from '../../options/parse.js'
import { federationSchema } from '../options.js'
import { checkRobust } from '../server/robust.js'

export const serverClientsSchema = z.strictObject({
  minimum: z.int().min(1).default(1).describe('clients that must have joined before a round begins'),
  minimumAnswers: z
    .int()
    .min(0)
    .default(1)
    .describe('a round with fewer answers is abandoned: nothing of it counts, the adapter stays as it is'),
  over: z
    .number()
    .min(1)
    .default(1)
    .describe('over-selection: so many times the cohort is asked, and the first of the cohort’s size count'),
  ranks: z
    .record(
      z.string().min(1),
      z.strictObject({
        rank: z.int().min(1).optional().describe("at most the server's, adapter.rank"),
        alpha: z.number().positive().optional().describe("numerator of its scale; default: the server's scale stays"),
      }),
    )
    .default({})
    .describe(
      'ranks of some clients, by name or by a pattern with *, for algorithms of mixed ranks; later entries win',
    ),
  deadline: z
    .number()
    .min(0.001)
    .max(30 * 86400)
    .nullable()
    .default(3600)
    .describe(
      'seconds after which a round closes with the answers that have come, or without rounds a client is given up; null: never',
    ),
  phaseDeadline: z
    .number()
    .min(0.001)
    .max(30 * 86400)
    .nullable()
    .optional()
    .describe(
      'seconds that each phase of a secure aggregation before and after the work waits; default: a tenth of deadline; null: it waits for everyone',
    ),
})

export const workersSchema = z.strictObject({
  answers: z.int().min(1).max(1024).default(8).describe('answers that a worker screens and sums at a time'),
  silence: z
    .number()
    .min(1)
    .max(3600)
    .default(30)
    .describe('seconds without a sign of life after which a worker has died: another one does what it was at'),
  deadline: z
    .number()
    .min(1)
    .max(86400)
    .default(120)
    .describe('seconds after which the server itself does what no worker has done'),
})
export type WorkersConfig = z.output<typeof workersSchema>

export const coordinatorSchema = z.strictObject({
  name: z.string().min(1).max(200).default('federation').describe('what the federation is called'),
  model: modelOptionsSchema
    .omit({ onProgress: true, device: true, threads: true })
    .extend({ path: z.string().min(1).describe('model folder, or id in the Hugging Face cache') })
    .describe('the base that every client has, and how its weights are held'),
  adapter: adapterOptionsSchema.prefault({}).describe('the adapter that the federation trains'),
  data: datasetOptionsSchema
    .omit({ tokenizer: true, cache: true, cacheDir: true })
    .describe('how every client reads and renders its rows'),
  clients: serverClientsSchema.prefault({}).describe('who a round waits for'),
  federation: federationSchema.describe('the rounds, as simulate has them'),
  workers: workersSchema
    .optional()
    .describe('processes of `fedlora aggregate` screen and sum answers; default: the server does it'),
})

/** What a server is told. @internal */
export type CoordinatorOptions = z.input<typeof coordinatorSchema>
export type CoordinatorConfig = z.output<typeof coordinatorSchema>

type Federation = CoordinatorConfig['federation']

/** What only a simulation has, and where a server has it instead. */
const simulated: readonly [keyof Federation, (value: Federation) => boolean, string][] = [
  ['absence', ({ absence }) => absence > 0, 'clients of a server are absent by themselves'],
  ['attackers', ({ attackers }) => attackers !== undefined, 'clients of a server lie by themselves'],
  [
    'clock',
    ({ clock }) => clock !== undefined,
    'a server has real time: see clients.deadline, clients.over, clients.minimumAnswers',
  ],
  ['baselines', ({ baselines }) => baselines.length > 0, 'a server has no rows to train them on'],
  ['baselineSchedule', ({ baselineSchedule }) => baselineSchedule !== undefined, 'a server trains no baselines'],
  ['concurrency', ({ concurrency }) => concurrency > 1, 'every client works on a machine of its own'],
  ['outputDir', ({ outputDir }) => outputDir !== undefined, 'a server has its folder'],
  ['resumeFrom', ({ resumeFrom }) => resumeFrom !== undefined, 'a server goes on by itself where it has stopped'],
]

/** @throws FedloraError `E_CONFIG` for what means something in a simulation only. */
function checkServed(federation: Federation): void {
  for (const [key, used, why] of simulated) {
    if (!used(federation)) continue
    throw new FedloraError('E_CONFIG', `federation.${key}: only a simulation has it: ${why}; leave it out`, {
      field: key,
    })
  }
}

/** @throws FedloraError `E_CONFIG` for a buffer that those at work never fill, or what means something in rounds only. */
function checkBuffer({ federation: { asynchronous }, clients: { over } }: CoordinatorConfig): void {
  if (asynchronous === undefined) return
  const { buffer, concurrency } = asynchronous
  if (buffer > concurrency) {
    const message = `asynchronous.buffer: got ${buffer}, expected at most ${concurrency}, the clients at work (asynchronous.concurrency)`
    throw new FedloraError('E_CONFIG', message, { buffer, most: concurrency })
  }
  if (over === 1) return
  const message =
    'clients.over: a buffer has no round: asynchronous.concurrency says who is at work, asynchronous.buffer what a step is made of; leave it out'
  throw new FedloraError('E_CONFIG', message, { over })
}

/**
 * Who the clients will be is not known yet, nor how many they are: of a cohort that is a share of them nothing can be said.
 * @throws FedloraError `E_CONFIG` for a robust rule for which a buffer, or a round's cohort, is always too small.
 */
function checkAnswers({ federation: { asynchronous, cohort, robust } }: CoordinatorConfig): void {
  const asked = typeof cohort === 'object' ? cohort.clients : cohort > 1 ? cohort : undefined
  const most = asynchronous?.buffer ?? asked
  if (most !== undefined) checkRobust(robust, robust?.rule === 'fltrust' ? [robust.root] : [], most)
}

/** @throws FedloraError `E_CONFIG` for a server's own options that a secure aggregation excludes. */
function checkSecure({ federation, clients }: CoordinatorConfig): void {
  if (federation.secureAggregation === undefined || clients.over === 1) return
  const message =
    'clients.over excludes secureAggregation: a client that is late has its masks in the sum of the others; its protocol has phases of its own for those who are lost; leave clients.over out'
  throw new FedloraError('E_CONFIG', message, { of: ['clients.over', 'secureAggregation'] })
}

/** @throws FedloraError `E_CONFIG`. */
export function parseCoordinatorOptions(options: unknown): CoordinatorConfig {
  const config = parseOptions(coordinatorSchema, options, 'server options')
  checkServed(config.federation)
  checkBuffer(config)
  checkAnswers(config)
  checkSecure(config)
  return config
}
