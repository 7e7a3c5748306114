/**
 * What each client of a federation has spent on its own rows, in `privacy.json` of the run's folder: written and flushed before the server
 * makes anything of what the clients sent. Steps that are taken again after a crash, with other noise, are spent again.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import type { Spend } from '../../privacy/accountant/spend.js'
import { spendSchema } from '../../privacy/options.js'

const schema = z.strictObject({
  version: z.literal(1),
  level: z.literal('example'),
  /** The last round that was spent. */
  round: z.int().min(0),
  /** By client, in the order of their names. */
  clients: z.array(z.tuple([z.string(), z.array(spendSchema)])),
})

export class ExampleLedger {
  readonly #path: string | undefined
  /** Whether steps that are taken again are the same steps. */
  readonly #repeats: boolean
  #round = 0
  #clients = new Map<string, readonly Spend[]>()

  private constructor(folder: string | undefined, repeats: boolean) {
    this.#path = folder && join(folder, 'privacy.json')
    this.#repeats = repeats
  }

  /**
   * @param folder - of the run; undefined: it is kept in memory.
   * @param done - rounds of the checkpoint that the run goes on from.
   * @param repeats - whether a round that is run again has the same draws and noise.
   * @throws FedloraError `E_CHECKPOINT` when the file is missing, damaged, or knows of less.
   */
  static async open(folder: string | undefined, done: number, repeats: boolean): Promise<ExampleLedger> {
    const ledger = new ExampleLedger(folder, repeats)
    const path = ledger.#path
    if (path === undefined) return ledger
    const refuse = (what: string, cause?: unknown) =>
      new FedloraError(
        'E_CHECKPOINT',
        `'${path}' ${what}: what the clients have spent is not known; put the file back, or start a new run`,
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
    if (data.round < done) throw refuse(`knows of ${data.round} rounds, but ${done} were done`)
    ledger.#round = data.round
    ledger.#clients = new Map(data.clients)
    return ledger
  }

  /** What the clients have spent by now; those that have spent nothing are not among them. */
  get clients(): ReadonlyMap<string, readonly Spend[]> {
    return this.#clients
  }

  /** What they have spent when each of these takes its steps in `round`. */
  after(round: number, taken: ReadonlyMap<string, Spend>): ReadonlyMap<string, readonly Spend[]> {
    if (this.#repeats && round <= this.#round) return this.#clients
    const clients = new Map(this.#clients)
    for (const [name, spend] of taken) clients.set(name, added(clients.get(name) ?? [], spend))
    return clients
  }

  /** Spends a round; on disk when this returns. */
  async spend(round: number, taken: ReadonlyMap<string, Spend>): Promise<void> {
    this.#clients = new Map([...this.after(round, taken)].sort(([a], [b]) => (a < b ? -1 : 1)))
    this.#round = Math.max(this.#round, round)
    if (this.#path === undefined) return
    await writeJsonFile(this.#path, { version: 1, level: 'example', round: this.#round, clients: [...this.#clients] })
  }
}

function added(spends: readonly Spend[], spend: Spend): Spend[] {
  const same = ({ sampleRate, noiseMultiplier }: Spend) =>
    sampleRate === spend.sampleRate && noiseMultiplier === spend.noiseMultiplier
  if (!spends.some(same)) return [...spends, spend]
  return spends.map((before) => (same(before) ? { ...before, steps: before.steps + spend.steps } : before))
}
