/** What noised steps have spent: the door to both accountants. */
import { z } from 'zod'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { parseOptions } from '../options/parse.js'
import { pldEpsilon } from './accountant/pld.js'
import { rdpEpsilon } from './accountant/rdp.js'
import type { Spend } from './accountant/spend.js'
import { accountantSchema, deltaSchema, spendSchema } from './options.js'

const common = { delta: deltaSchema, accountant: accountantSchema }
const oneSchema = spendSchema.extend(common)
const severalSchema = z.strictObject({
  spends: z.array(spendSchema).describe('steps of several kinds, in any order'),
  ...common,
})

/** `pld` is tight; `rdp` is looser, and the same as Opacus' default. */
export type AccountantName = z.output<typeof accountantSchema>

interface Asked {
  /** Probability with which the bound may fail, in (0, 1); choose it below 1 / (number of records, or clients). */
  delta: number
  /** Default 'pld'. */
  accountant?: AccountantName
}

/** Steps of one kind, or a list of several kinds. */
export type EpsilonInput = (Spend & Asked) | ({ spends: readonly Spend[] } & Asked)

export interface Epsilon {
  /** In nats; Infinity where nothing is private. */
  epsilon: number
  /** Of 'rdp': the order that gave it; absent at Infinity. */
  order?: number
  /** Of 'pld': by how much at most it is above the truth, below 1.2e-3 · max(1, ε). It is never below. */
  slack?: number
}

/** Below it ε is beyond every double. */
const leastNoise = 1e-150

/** Equal kinds as one, without those that took no step. */
function merged(spends: readonly Spend[]): Spend[] {
  const kinds = new Map<string, Spend>()
  for (const { sampleRate, noiseMultiplier, steps } of spends) {
    if (steps === 0) continue
    const key = `${sampleRate} ${noiseMultiplier}`
    kinds.set(key, { sampleRate, noiseMultiplier, steps: steps + (kinds.get(key)?.steps ?? 0) })
  }
  return [...kinds.values()]
}

/** ε of spends that have been checked. */
export function epsilonOf(spends: readonly Spend[], delta: number, accountant: AccountantName): Epsilon {
  const kinds = merged(spends)
  if (kinds.length === 0) return accountant === 'rdp' ? { epsilon: 0 } : { epsilon: 0, slack: 0 }
  if (kinds.some(({ noiseMultiplier }) => noiseMultiplier < leastNoise)) return { epsilon: Number.POSITIVE_INFINITY }
  if (accountant === 'pld') return pldEpsilon(kinds, delta)
  const { epsilon, order } = rdpEpsilon(kinds, delta)
  return Number.isFinite(epsilon) ? { epsilon, order } : { epsilon }
}

/**
 * The ε of (ε, δ)-differential privacy that steps of the Poisson-sampled Gaussian mechanism have spent, for neighbours that differ by one
 * record (or client) more or less.
 *
 * Every step is a sum in which a record takes part with probability `sampleRate` and whose part is clipped to a norm C, with noise
 * N(0, (`noiseMultiplier` · C)²) on each element. With any other choice of who takes part (a fixed number, a shuffle), `sampleRate` is 1.
 * @throws FedloraError `E_CONFIG` naming each parameter that is none: a rate outside (0, 1], noise below 0, steps that are not whole,
 * δ outside (0, 1). `E_UNSUPPORTED` where 'pld' would need too fine a grid: 'rdp' has no such limit.
 * @example
 * ```ts
 * const spent = epsilon({ sampleRate: 0.01, noiseMultiplier: 1.1, steps: 1000, delta: 1e-5 })
 * console.log(spent.epsilon.toFixed(2)) // 1.52
 * const both = epsilon({
 *   spends: [
 *     { sampleRate: 0.01, noiseMultiplier: 1.1, steps: 500 },
 *     { sampleRate: 0.02, noiseMultiplier: 1.5, steps: 500 },
 *   ],
 *   delta: 1e-5,
 *   accountant: 'rdp',
 * })
 * console.log(both.order) // the Rényi order that bounds it best
 * ```
 */
export function epsilon(input: EpsilonInput): Epsilon {
  if (typeof input !== 'object' || input === null) {
    throw new FedloraError('E_CONFIG', `epsilon: got ${describeValue(input)}, expected an object with its parameters`)
  }
  if ('spends' in input) {
    const { spends, delta, accountant } = parseOptions(severalSchema, input, 'epsilon')
    return epsilonOf(spends, delta, accountant)
  }
  const { delta, accountant, ...spend } = parseOptions(oneSchema, input, 'epsilon')
  return epsilonOf([spend], delta, accountant)
}
