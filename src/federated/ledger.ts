/**
 * What a private federation has spent, in `privacy.json` of its folder: written and flushed before anything is made of a round, so that no
 * crash and no resuming forgets what somebody may have seen. What is run again after a crash with other noise is spent again.
 *
 * Accounts have names: at level 'example' each client has one for its own rows; at level 'client' there is one for all.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'
import type { Spend } from '../privacy/accountant/spend.js'
import { spendSchema } from '../privacy/options.js'
import type { PrivacyConfig } from './privacy-options.js'

/** Spends by account. */
export type Accounts = ReadonlyMap<string, readonly Spend[]>

const schema = z.strictObject({
  version: z.literal(1),
  level: z.enum(['client', 'example']),
  /** The last round that was spent. */
  round: z.int().min(0),
  /** In the order of their names. */
  accounts: z.array(z.tuple([z.string(), z.array(spendSchema)])),
})

/** Where it lies, and what it must know. */
interface LedgerPlace {
  /** Of the run; undefined: it is kept in memory. */
  folder: string | undefined
  /** Rounds of the checkpoint that the run goes on from. */
  done: number
}

export class Ledger {
  readonly #level: PrivacyConfig['level']
  /** Whether a round that is run again has the same draws and noise, and so spends nothing more. */
  readonly #repeats: boolean
  readonly #path: string | undefined
  #keep: ((round: number, taken: ReadonlyMap<string, Spend>) => Promise<void>) | undefined
  #round = 0
  #accounts: Accounts = new Map()

  private constructor({ level, noise }: Pick<PrivacyConfig, 'level' | 'noise'>, { folder }: LedgerPlace) {
    this.#level = level
    this.#repeats = noise === 'seeded'
    this.#path = folder && join(folder, 'privacy.json')
  }

  /** @throws FedloraError `E_CHECKPOINT` when the file is missing, damaged, of the other level, or knows of less. */
  static async open(privacy: Pick<PrivacyConfig, 'level' | 'noise'>, place: LedgerPlace): Promise<Ledger> {
    const ledger = new Ledger(privacy, place)
    const path = ledger.#path
    const { level } = privacy
    const { done } = place
    if (path === undefined) return ledger
    const refuse = (what: string, cause?: unknown) =>
      new FedloraError(
        'E_CHECKPOINT',
        `'${path}' ${what}: what this federation has spent is not known; put the file back, or start a new run`,
        { path },
        cause,
      )
    let found: unknown
    try {
      found = await readJsonObject(path, 'privacy ledger')
    } catch (error) {
      const missing = error instanceof FedloraError && error.code === 'E_MISSING'
      if (missing && done === 0) return ledger
      throw refuse(missing ? 'is missing' : 'is damaged', error)
    }
    const { success, data } = schema.safeParse(found)
    if (!success) throw refuse('is damaged')
    if (data.level !== level) throw refuse(`is of level '${data.level}'`)
    // At level 'client' every round is a step of the one account; at level 'example' nobody need have been asked.
    const steps = data.accounts.flatMap(([, spends]) => spends).reduce((sum, spend) => sum + spend.steps, 0)
    const known = level === 'client' ? steps : data.round
    if (data.round < done || known < data.round) throw refuse(`knows of ${known} rounds, but ${done} were done`)
    ledger.#round = data.round
    ledger.#accounts = new Map(data.accounts)
    return ledger
  }

  /**
   * A ledger that somebody else keeps.
   * @param spent - so far, in order.
   * @param keep - durable when it resolves; called before a round counts as spent.
   */
  static async keptBy(
    privacy: Pick<PrivacyConfig, 'level' | 'noise'>,
    spent: Iterable<readonly [round: number, taken: ReadonlyMap<string, Spend>]>,
    keep: (round: number, taken: ReadonlyMap<string, Spend>) => Promise<void>,
  ): Promise<Ledger> {
    const ledger = new Ledger(privacy, { folder: undefined, done: 0 })
    for (const [round, taken] of spent) await ledger.spend(round, taken)
    ledger.#keep = keep
    return ledger
  }

  /** What is spent by now; accounts that have spent nothing are not among them. */
  get accounts(): Accounts {
    return this.#accounts
  }

  /** What is spent when these are spent in `round`, too. */
  after(round: number, taken: ReadonlyMap<string, Spend>): Accounts {
    if (this.#repeats && round <= this.#round) return this.#accounts
    const accounts = new Map(this.#accounts)
    for (const [name, spend] of taken) accounts.set(name, added(accounts.get(name) ?? [], spend))
    return accounts
  }

  /** Spends a round; durable when this returns. */
  async spend(round: number, taken: ReadonlyMap<string, Spend>): Promise<void> {
    if (!(this.#repeats && round <= this.#round)) await this.#keep?.(round, taken)
    this.#accounts = new Map([...this.after(round, taken)].sort(([a], [b]) => (a < b ? -1 : 1)))
    this.#round = Math.max(this.#round, round)
    if (this.#path === undefined) return
    await writeJsonFile(this.#path, {
      version: 1,
      level: this.#level,
      round: this.#round,
      accounts: [...this.#accounts],
    })
  }
}

function added(spends: readonly Spend[], spend: Spend): Spend[] {
  const same = ({ sampleRate, noiseMultiplier }: Spend) =>
    sampleRate === spend.sampleRate && noiseMultiplier === spend.noiseMultiplier
  if (!spends.some(same)) return [...spends, spend]
  return spends.map((before) => (same(before) ? { ...before, steps: before.steps + spend.steps } : before))
}
