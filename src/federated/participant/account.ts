/**
 * What a client's rows have spent of their privacy, by its own reckoning: FOLDER/privacy.json, on disk before a byte of an answer leaves. An answer that
 * is sent again spends nothing more: its bytes are the same. Rows that are worked on again after they were sent have other noise, and spend again.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import type { Spend } from '../../privacy/accountant/spend.js'
import { epsilonOf } from '../../privacy/epsilon.js'
import { spendSchema } from '../../privacy/options.js'
import type { PrivacyConfig } from '../privacy-options.js'

const accountSchema = z.strictObject({
  version: z.literal(1),
  /** The federation. */
  run: z.string(),
  spends: z.array(spendSchema),
  /** SHA-256 of the last answer that was paid for; null: none was. */
  paid: z.string().nullable(),
})

type State = z.output<typeof accountSchema>
type Accounting = Pick<PrivacyConfig, 'delta' | 'accountant'>

/** Spends with another: equal kinds as one. */
function added(spends: readonly Spend[], spend: Spend): Spend[] {
  const same = ({ sampleRate, noiseMultiplier }: Spend) =>
    sampleRate === spend.sampleRate && noiseMultiplier === spend.noiseMultiplier
  if (!spends.some(same)) return [...spends, spend]
  return spends.map((before) => (same(before) ? { ...before, steps: before.steps + spend.steps } : before))
}

export class Account {
  readonly #path: string
  readonly #privacy: Accounting
  #state: State

  private constructor(path: string, privacy: Accounting, state: State) {
    this.#path = path
    this.#privacy = privacy
    this.#state = state
  }

  /**
   * Opens the account of a client's folder; an empty one is written at the federation's first start.
   * @param began - whether the folder has been in the federation before.
   * @throws FedloraError `E_CHECKPOINT` when it is missing then, or damaged: what was spent would not be known.
   */
  static async open(folder: string, run: string, privacy: Accounting, began: boolean): Promise<Account> {
    const path = join(folder, 'privacy.json')
    const refuse = (what: string, cause?: unknown) => {
      const message = `'${path}' ${what}: what the rows here have spent is not known; put the file back, or join no more with these rows`
      return new FedloraError('E_CHECKPOINT', message, { path }, cause)
    }
    const found = await readJsonObject(path, 'privacy account').catch((error: unknown) => {
      const isMissing = error instanceof FedloraError && error.code === 'E_MISSING'
      if (isMissing && !began) return undefined
      throw refuse(isMissing ? 'is missing' : 'is damaged', error)
    })
    const account = new Account(path, privacy, { version: 1, run, spends: [], paid: null })
    if (found === undefined) await account.#write(account.#state)
    else {
      const { success, data } = accountSchema.safeParse(found)
      if (!success || data.run !== run) throw refuse('is damaged')
      account.#state = data
    }
    return account
  }

  #epsilonOf(spends: readonly Spend[]): number {
    return spends.length === 0 ? 0 : epsilonOf(spends, this.#privacy.delta, this.#privacy.accountant).epsilon
  }

  /** ε so far. */
  get epsilon(): number {
    return this.#epsilonOf(this.#state.spends)
  }

  /** ε when this is spent, too. */
  after(spend: Spend): number {
    return this.#epsilonOf(added(this.#state.spends, spend))
  }

  /** Pays for an answer; on disk when this returns. @param answer - SHA-256 of its bytes. */
  async pay(answer: string, spend: Spend): Promise<void> {
    if (this.#state.paid === answer) return
    await this.#write({ ...this.#state, spends: added(this.#state.spends, spend), paid: answer })
  }

  async #write(state: State): Promise<void> {
    await writeJsonFile(this.#path, state)
    this.#state = state
  }
}
