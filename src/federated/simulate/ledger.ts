/**
 * What a federation has spent, in `privacy.json` of its folder: written and flushed before the model of a round is made, so that no crash and
 * no resuming forgets what somebody may have seen. A round that is run again after a crash with other noise is spent again.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import type { Spend } from '../../privacy/accountant/spend.js'
import { spendSchema } from '../../privacy/options.js'

const name = 'privacy.json'
const schema = z.strictObject({
  version: z.literal(1),
  /** The last round that was spent. */
  round: z.int().min(0),
  spends: z.array(spendSchema),
})

export class Ledger {
  readonly #path: string | undefined
  /** Whether a round that is run again is the same round. */
  readonly #repeats: boolean
  #round = 0
  #spends: Spend[] = []

  private constructor(folder: string | undefined, repeats: boolean) {
    this.#path = folder && join(folder, name)
    this.#repeats = repeats
  }

  /**
   * @param folder - of the run; undefined: it is kept in memory.
   * @param done - rounds of the checkpoint that the run goes on from; what was spent by then must be there.
   * @param repeats - whether a round that is run again has the same cohort and noise, and so spends nothing more.
   * @throws FedloraError `E_CHECKPOINT` when the file is missing, damaged, or knows of less.
   */
  static async open(folder: string | undefined, done: number, repeats: boolean): Promise<Ledger> {
    const ledger = new Ledger(folder, repeats)
    const path = ledger.#path
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
    const steps = data.spends.reduce((sum, spend) => sum + spend.steps, 0)
    if (data.round < done || steps < data.round) throw refuse(`knows of ${steps} rounds, but ${done} were done`)
    ledger.#round = data.round
    ledger.#spends = data.spends
    return ledger
  }

  /** What is spent by now. */
  get spends(): readonly Spend[] {
    return this.#spends
  }

  /** What is spent when one round more is. */
  after(round: number, { sampleRate, noiseMultiplier }: Omit<Spend, 'steps'>): readonly Spend[] {
    if (this.#repeats && round <= this.#round) return this.#spends
    const same = (spend: Spend) => spend.sampleRate === sampleRate && spend.noiseMultiplier === noiseMultiplier
    if (!this.#spends.some(same)) return [...this.#spends, { sampleRate, noiseMultiplier, steps: 1 }]
    return this.#spends.map((spend) => (same(spend) ? { ...spend, steps: spend.steps + 1 } : spend))
  }

  /** Spends a round; on disk when this returns. */
  async spend(round: number, step: Omit<Spend, 'steps'>): Promise<void> {
    this.#spends = [...this.after(round, step)]
    this.#round = Math.max(this.#round, round)
    if (this.#path !== undefined) {
      await writeJsonFile(this.#path, { version: 1, round: this.#round, spends: this.#spends })
    }
  }
}
