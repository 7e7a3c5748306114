/** Which federations workers can sum for: those whose step needs nothing of an answer but its part of an exact sum. */
import { FedloraError } from '../../errors.js'
import type { Chosen } from '../algorithms/algorithm.js'
import type { FederationConfig } from '../options.js'
import type { WorkQueue } from '../workers/work-queue.js'
import type { CoordinatorConfig } from './options.js'

/** What needs single answers on the server, and why. */
const excluded: readonly [what: string, used: (config: FederationConfig, chosen: Chosen) => boolean, why: string][] = [
  ['robust', ({ robust }) => robust !== undefined, 'a robust rule compares the updates of a round with one another'],
  [
    'secureAggregation',
    ({ secureAggregation }) => secureAggregation !== undefined,
    'masks come off the sum of all, which the server holds',
  ],
  [
    'asynchronous',
    ({ asynchronous }) => asynchronous !== undefined,
    'what an answer is scaled by follows from the step that it comes into',
  ],
  [
    "privacy.level 'client'",
    ({ privacy }) => privacy?.level === 'client',
    'each update is cut, and those within the norm are counted, where the noise is added',
  ],
  [
    "an algorithm that reads every client's adapter",
    (_, { algorithm }) => algorithm.needs === 'all',
    'it reads the updates again at the end of a round',
  ],
]

/** @throws FedloraError `E_CONFIG` for workers that cannot be had, or cannot sum for this federation. */
export function checkWorkers(
  { workers, federation }: CoordinatorConfig,
  chosen: Chosen,
  queue: WorkQueue | undefined,
): void {
  if (workers === undefined) return
  const found = excluded.find(([, used]) => used(federation, chosen))
  if (found !== undefined) {
    const [what, , why] = found
    const message = `workers: ${what} excludes them (here ${chosen.algorithm.name}): ${why}; leave workers out: the server does it`
    throw new FedloraError('E_CONFIG', message, { of: ['workers', what], algorithm: chosen.algorithm.name })
  }
  if (queue === undefined) checkQueue({ workers })
}

/** @throws FedloraError `E_CONFIG` for workers that find no work. */
export function checkQueue({ workers }: Pick<CoordinatorConfig, 'workers'>): void {
  if (workers === undefined) return
  const message =
    'workers: they find their work in NATS: add the section nats, or leave workers out: the server does it'
  throw new FedloraError('E_CONFIG', message, { field: 'workers' })
}
