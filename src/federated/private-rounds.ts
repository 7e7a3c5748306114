/** What a private federation draws, adds and spends: worked out once, before anything runs. */
import { createHash, randomBytes } from 'node:crypto'
import { FedloraError } from '../errors.js'
import type { Spend } from '../privacy/accountant/spend.js'
import { epsilonOf } from '../privacy/epsilon.js'
import { noiseFor } from '../privacy/noise-for.js'
import type { RoundPrivacy } from './events.js'
import type { Accounts, Ledger } from './ledger.js'
import type { FederationConfig } from './options.js'
import type { PrivacyConfig } from './privacy-options.js'
import { cohortSize, poissonCohort } from './protocol/plan.js'
import { uniform } from './protocol/random.js'
import type { PrivateSum } from './server/private-sum.js'

/** What the rounds of a private federation go by. */
export interface PrivacyPlan extends Pick<PrivacyConfig, 'delta' | 'accountant'> {
  /** One round. */
  spend: Omit<Spend, 'steps'>
  /** Infinity: no budget. */
  budget: number
  sum: PrivateSum
  /** Indices of those asked in a round, ascending. @param population - of whom; default: those that it was planned for. */
  cohort(round: number, population?: number): number[]
}

const refuse = (message: string, field: string): never => {
  throw new FedloraError('E_CONFIG', `the federation’s options: privacy.${message}`, { field: `privacy.${field}` })
}

/** A number in [0, 1) of 48 bits that nobody can foretell. */
const unforeseen = () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48

/** σ_b: as asked for, or a twentieth of the expected cohort, but never so little that the sum could not pay for it. */
function countNoiseOf(z: number, expectedClients: number, asked: number | undefined): number {
  const countNoise = asked ?? Math.max(expectedClients / 20, 2 * z)
  if (z > 0 && 2 * countNoise <= z) {
    refuse(
      `adaptive.countNoise: got ${countNoise}, which spends more than noiseMultiplier ${z} for sum and count together; give more than ${z / 2}`,
      'adaptive.countNoise',
    )
  }
  return countNoise
}

/**
 * @param clients - of the federation.
 * @throws FedloraError `E_CONFIG` for a delta of 1/clients or more, and for a budget that no noise keeps or that the first round exceeds.
 */
export function planPrivacy(privacy: PrivacyConfig, config: FederationConfig, clients: number): PrivacyPlan {
  const { clip, delta, accountant, epsilon, adaptive } = privacy
  const { seed, rounds } = config
  if (delta >= 1 / clients) {
    refuse(
      `delta: got ${delta} with ${clients} clients, expected less than 1/${clients}: from there on, giving one of them away would pass`,
      'delta',
    )
  }
  const expectedClients = cohortSize(config.cohort, clients)
  const sampleRate = expectedClients / clients
  const noiseMultiplier =
    privacy.noiseMultiplier ?? noiseFor({ epsilon: epsilon!, delta, sampleRate, steps: rounds, accountant })
  const spend = { sampleRate, noiseMultiplier }
  const first = epsilonOf([{ ...spend, steps: 1 }], delta, accountant).epsilon
  if (epsilon !== undefined && first > epsilon) {
    refuse(
      `epsilon: got ${epsilon}, but the first round spends ${first.toPrecision(3)}; give more epsilon, or more noiseMultiplier`,
      'epsilon',
    )
  }
  const secure = privacy.noise === 'secure'
  const key = (round: number, name: string) =>
    createHash('sha256')
      .update(JSON.stringify(['fedlora/noise/v1', seed, round, name]))
      .digest()
  return {
    spend,
    delta,
    accountant,
    budget: epsilon ?? Number.POSITIVE_INFINITY,
    sum: {
      clip,
      noiseMultiplier,
      expectedClients,
      adaptive: adaptive && {
        ...adaptive,
        countNoise: countNoiseOf(noiseMultiplier, expectedClients, adaptive.countNoise),
      },
      keyOf: secure ? () => randomBytes(32) : key,
    },
    cohort: (round, population = clients) =>
      poissonCohort(population, sampleRate, secure ? unforeseen : (index) => uniform(seed, 'cohort', round, index)),
  }
}

/** What the rounds of a private federation draw and spend, whatever its level. */
export interface RoundBudget {
  /** Spent so far. */
  readonly epsilon: number
  /** Infinity: none. */
  readonly budget: number
  /** Indices of those asked in a round, ascending; absent: whom the federation's cohorts hold. */
  cohort?(round: number): number[]
  /** Whether there is room for a round more. */
  allows(round: number): boolean
  /** Spends a round in which these clients have worked: to be called before what it makes is seen. */
  spend(round: number, present: readonly number[]): Promise<void>
  /** What a round's event tells. @param clip - 2-norm that updates were cut to, if they were. */
  report(clip: number | undefined): RoundPrivacy
}

/** What a budget tells of itself in a round's event. */
export function reportOf(
  { epsilon, budget }: Pick<RoundBudget, 'epsilon' | 'budget'>,
  of: Omit<RoundPrivacy, 'epsilon' | 'budget'>,
): RoundPrivacy {
  return {
    epsilon: Number.isFinite(epsilon) ? epsilon : null,
    ...(Number.isFinite(budget) && { budget }),
    ...of,
  }
}

/** The one account of level 'client'. */
const account = 'all clients'

/** Rounds of a federation that hides clients, spent one by one. */
export class Budget implements RoundBudget {
  readonly #plan: PrivacyPlan
  readonly #ledger: Ledger
  readonly #round: ReadonlyMap<string, Spend>

  constructor(plan: PrivacyPlan, ledger: Ledger) {
    this.#plan = plan
    this.#ledger = ledger
    this.#round = new Map([[account, { ...plan.spend, steps: 1 }]])
  }

  #epsilon(accounts: Accounts): number {
    const { delta, accountant } = this.#plan
    return epsilonOf(accounts.get(account) ?? [], delta, accountant).epsilon
  }

  get epsilon(): number {
    return this.#epsilon(this.#ledger.accounts)
  }

  get budget(): number {
    return this.#plan.budget
  }

  cohort(round: number): number[] {
    return this.#plan.cohort(round)
  }

  allows(round: number): boolean {
    const { budget } = this.#plan
    return budget === Number.POSITIVE_INFINITY || this.#epsilon(this.#ledger.after(round, this.#round)) <= budget
  }

  async spend(round: number): Promise<void> {
    await this.#ledger.spend(round, this.#round)
  }

  report(clip: number | undefined): RoundPrivacy {
    const { spend, delta, sum } = this.#plan
    return reportOf(this, { delta, ...spend, clip: clip ?? sum.clip })
  }
}
