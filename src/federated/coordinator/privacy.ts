/**
 * The budget of a federation that hides clients: what rounds spend stands in the journal, and before anything is made of a round. The plan is made for
 * as many clients as must have joined: a client's share of the rounds, and the fixed denominator of the sum, stay as they are when more join.
 *
 * At level 'example' there is nothing for a server to spend: each client keeps the account of its own rows, and nobody else knows how many they are.
 */
import type { Spend } from '../../privacy/accountant/spend.js'
import { spendSchema } from '../../privacy/options.js'
import { Ledger } from '../ledger.js'
import { Budget, type PrivacyPlan, planPrivacy } from '../private-rounds.js'
import type { Book } from './book.js'
import type { CoordinatorConfig } from './options.js'
import type { RecordOf } from './records.js'

export interface Privacy {
  readonly plan: PrivacyPlan
  readonly budget: Budget
}

const takenIn = ({ round, spends }: RecordOf<'spend'>): [number, Map<string, Spend>] => [
  round,
  new Map(spends.map(([account, spend]) => [account, spendSchema.parse(spend)])),
]

/** @throws FedloraError `E_CONFIG` for a delta, an epsilon or a noise that cannot be kept. */
export async function openPrivacy(
  { federation, clients }: CoordinatorConfig,
  book: Book,
  now: () => number,
): Promise<Privacy | undefined> {
  const { privacy } = federation
  if (privacy?.level !== 'client') return undefined
  const plan = planPrivacy(privacy, federation, clients.minimum)
  const ledger = await Ledger.keptBy(privacy, book.state.spends.map(takenIn), async (round, taken) => {
    await book.append({
      type: 'spend',
      at: now(),
      round,
      spends: [...taken].map(([name, spend]) => [name, { ...spend }]),
    })
  })
  return { plan, budget: new Budget(plan, ledger) }
}
