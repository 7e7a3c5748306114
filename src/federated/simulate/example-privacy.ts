/** Example-level privacy of a federation: each client takes private steps over its own rows, and has an account of its own. */
import { FedloraError } from '../../errors.js'
import type { Spend } from '../../privacy/accountant/spend.js'
import { epsilonOf } from '../../privacy/epsilon.js'
import { noiseFor } from '../../privacy/noise-for.js'
import { privateWork, type Share, shareOf } from '../client/private-work.js'
import type { PrivateWork } from '../client/trainer.js'
import type { RoundPrivacy } from '../events.js'
import type { Accounts, Ledger } from '../ledger.js'
import type { FederationConfig } from '../options.js'
import type { PrivacyConfig } from '../privacy-options.js'
import { type RoundBudget, reportOf } from '../private-rounds.js'
import type { Clients } from './clients.js'
import type { Locals } from './overrides.js'

const refuse = (message: string, field: string): never => {
  throw new FedloraError('E_CONFIG', `simulate options: ${message}`, { field })
}

/** Those spends of which no other takes as many steps at as high a rate with the same noise. */
function largest(spends: readonly Spend[]): Spend[] {
  const descending = [...spends].sort((a, b) => b.sampleRate - a.sampleRate || b.steps - a.steps)
  const most = new Map<number, number>()
  return descending.filter(({ noiseMultiplier, steps }) => {
    const more = steps > (most.get(noiseMultiplier) ?? 0)
    if (more) most.set(noiseMultiplier, steps)
    return more
  })
}

/** One noise multiplier with which no client exceeds the budget, in whatever rounds it is asked. */
function noiseOf({ epsilon, delta, accountant }: PrivacyConfig, shares: readonly Share[], rounds: number): number {
  const all = largest(
    shares.map(({ sampleRate, steps }) => ({ sampleRate, noiseMultiplier: 1, steps: steps * rounds })),
  )
  // By the central limit a spend goes with q·√T: who spends most by that is asked first, and the others seldom need more.
  all.sort((a, b) => b.sampleRate ** 2 * b.steps - a.sampleRate ** 2 * a.steps)
  let noise = 0
  for (const { sampleRate, steps } of all) {
    const enough =
      noise > 0 && epsilonOf([{ sampleRate, noiseMultiplier: noise, steps }], delta, accountant).epsilon <= epsilon!
    if (!enough) noise = Math.max(noise, noiseFor({ epsilon: epsilon!, delta, sampleRate, steps, accountant }))
  }
  return noise
}

/**
 * What each client does, by index.
 * @throws FedloraError `E_CONFIG` for a delta that a client's rows are too few for, local options that private steps cannot have, and
 * budgets that no noise keeps.
 */
export function planExamples(
  privacy: PrivacyConfig,
  config: FederationConfig,
  clients: Clients,
  locals: Locals,
): readonly PrivateWork[] {
  const shares = Array.from({ length: clients.length }, (_, index) => {
    const client = { name: clients.name(index), data: clients.data(index), local: locals.of(index) }
    return shareOf(client, privacy, refuse)
  })
  const noiseMultiplier = privacy.noiseMultiplier ?? noiseOf(privacy, shares, config.rounds)
  const { delta, accountant, epsilon: budget } = privacy
  const first = largest(shares.map(({ sampleRate, steps }) => ({ sampleRate, steps, noiseMultiplier })))
  const spent =
    budget === undefined ? 0 : Math.max(...first.map((spend) => epsilonOf([spend], delta, accountant).epsilon))
  if (budget !== undefined && spent > budget) {
    refuse(
      `privacy.epsilon: got ${budget}, but the first round of a client spends ${spent.toPrecision(3)}; give more epsilon, or more noiseMultiplier`,
      'privacy.epsilon',
    )
  }
  return shares.map((share) => privateWork(privacy, share, noiseMultiplier))
}

export class ExampleBudget implements RoundBudget {
  readonly budget: number
  readonly #privacy: PrivacyConfig
  readonly #plans: readonly PrivateWork[]
  readonly #clients: Clients
  readonly #ledger: Ledger
  readonly #known = new Map<string, number>()

  /** @param plans - of the clients, by index. */
  constructor(config: FederationConfig, plans: readonly PrivateWork[], clients: Clients, ledger: Ledger) {
    const privacy = config.privacy!
    this.budget = privacy.epsilon ?? Number.POSITIVE_INFINITY
    this.#privacy = privacy
    this.#plans = plans
    this.#clients = clients
    this.#ledger = ledger
  }

  #epsilonOf(spends: readonly Spend[]): number {
    const key = JSON.stringify(spends)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const { epsilon } = epsilonOf(spends, this.#privacy.delta, this.#privacy.accountant)
    this.#known.set(key, epsilon)
    return epsilon
  }

  /** The largest ε of a client. */
  #worst(accounts: Accounts): number {
    const all = [...accounts.values()]
    const mixed = all.filter((spends) => spends.length > 1)
    const single = largest(all.flatMap((spends) => (spends.length === 1 ? spends : [])))
    return Math.max(
      0,
      ...mixed.map((spends) => this.#epsilonOf(spends)),
      ...single.map((spend) => this.#epsilonOf([spend])),
    )
  }

  get epsilon(): number {
    return this.#worst(this.#ledger.accounts)
  }

  #taken(indices: readonly number[]): Map<string, Spend> {
    return new Map(
      indices.map((index) => {
        const { sampleRate, noiseMultiplier, steps } = this.#plans[index]!
        return [this.#clients.name(index), { sampleRate, noiseMultiplier, steps }]
      }),
    )
  }

  /** Whoever is asked. */
  allows(round: number): boolean {
    if (this.budget === Number.POSITIVE_INFINITY) return true
    return this.#worst(this.#ledger.after(round, this.#taken([...this.#plans.keys()]))) <= this.budget
  }

  async spend(round: number, indices: readonly number[]): Promise<void> {
    await this.#ledger.spend(round, this.#taken(indices))
  }

  report(): RoundPrivacy {
    const { clip, delta } = this.#privacy
    return reportOf(this, {
      delta,
      sampleRate: Math.max(...this.#plans.map(({ sampleRate }) => sampleRate)),
      noiseMultiplier: this.#plans[0]!.noiseMultiplier,
      clip,
    })
  }
}
