/**
 * A client's folder: everything that it must not forget between two starts of one federation.
 *
 *   state.json   which federation, the last round whose outcome is kept, and what the client keeps of earlier rounds: names of files in own/
 *   own/         residuals, personal vectors, what it received (own-state.ts)
 *   outbox/      the round under way (outbox.ts)
 *
 * A round's outcome is one replacement of state.json: before it the round is under way, after it the round is kept, or never was.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { exists } from '../../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import { type Lock, lockFolder } from '../../files/lock.js'
import { OwnState } from '../client/own-state.js'
import { runIdSchema } from '../link/messages.js'
import type { ParticipantResult } from './events.js'
import { Outbox } from './outbox.js'

const stateSchema = z.strictObject({
  version: z.literal(1),
  /** The federation that the folder belongs to. */
  run: runIdSchema,
  /** The last round whose outcome the client has kept; 0: none. */
  settled: z.int().min(0),
  /** Files of own/: client, vector, round. */
  own: z.array(z.tuple([z.string(), z.string(), z.int().min(1)])),
  /** The federation has ended, after so many rounds. */
  over: z.strictObject({ rounds: z.int().min(0), why: z.string().optional() }).nullable(),
  /** Answers of this client that counted. */
  counted: z.int().min(0),
})
type State = z.output<typeof stateSchema>

async function readState(path: string): Promise<State | undefined> {
  if (!(await exists(path))) return undefined
  const { success, data } = stateSchema.safeParse(await readJsonObject(path, 'client folder'))
  if (success) return data
  const message = `client folder: '${path}' is damaged: what this client owes and keeps is not known; put the file back, or join with a new folder`
  throw new FedloraError('E_CHECKPOINT', message, { path })
}

export class ClientFolder {
  readonly path: string
  readonly outbox: Outbox
  readonly own: OwnState
  readonly #lock: Lock
  #state: State | undefined

  private constructor(path: string, lock: Lock, state: State | undefined, outbox: Outbox, own: OwnState) {
    this.path = path
    this.#lock = lock
    this.#state = state
    this.began = state !== undefined
    this.outbox = outbox
    this.own = own
  }

  /**
   * Opens the folder for one process.
   * @throws FedloraError `E_LOCKED` while another process has it, `E_CHECKPOINT` when it is damaged, `E_IO`.
   */
  static async open(path: string): Promise<ClientFolder> {
    const lock = await lockFolder(path)
    try {
      const state = await readState(join(path, 'state.json'))
      const outbox = await Outbox.open(join(path, 'outbox'), state?.settled ?? 0)
      const own = await OwnState.open(join(path, 'own'), state?.own, outbox.due?.prepared?.keeps)
      return new ClientFolder(path, lock, state, outbox, own)
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** The federation that it belongs to. */
  get run(): string {
    return this.#state!.run
  }

  /** Whether it belonged to a federation when it was opened. */
  readonly began: boolean

  /** What taking part has come to by now. */
  get standing(): ParticipantResult {
    const { run = '', counted = 0, over } = this.#state ?? {}
    const why = over?.why
    return { run, rounds: over?.rounds ?? null, counted, ...(why !== undefined && { why }) }
  }

  get settled(): number {
    return this.#state?.settled ?? 0
  }

  /** Answers that counted. */
  get counted(): number {
    return this.#state?.counted ?? 0
  }

  /** How the federation has ended; undefined: it has not, as far as is known. */
  get over(): NonNullable<State['over']> | undefined {
    return this.#state?.over ?? undefined
  }

  /**
   * The folder is that of a federation, from the first time on.
   * @throws FedloraError `E_ARGUMENT` for a folder of another.
   */
  async belongTo(run: string): Promise<void> {
    const known = this.#state?.run
    if (known === run) return
    if (known !== undefined) {
      const message = `folder: '${this.path}' belongs to the federation ${known}, and the server's is ${run}; choose another folder`
      throw new FedloraError('E_ARGUMENT', message, { folder: this.path, run, known })
    }
    await this.#write({ version: 1, run, settled: 0, own: [], over: null, counted: 0 })
  }

  /** The outcome of a round is known: what the client wrote in it is kept, or never was. */
  async settle(round: number, counted: boolean): Promise<void> {
    if (counted) {
      await this.own.endRound()
      await this.own.flush()
    }
    const { settled, counted: before, ...state } = this.#state!
    await this.#write({
      ...state,
      settled: Math.max(settled, round),
      counted: before + Number(counted),
      own: this.own.entries,
    })
    if (this.outbox.due !== undefined) await this.outbox.clear()
    await (counted ? this.own.committed() : this.own.dropRound())
  }

  /** The round under way is given up before its answer was sent: it may be asked for again. */
  async giveUp(): Promise<void> {
    await this.outbox.clear()
    await this.own.dropRound()
  }

  /** The federation has ended. */
  async end(rounds: number, why: string | undefined): Promise<void> {
    await this.#write({ ...this.#state!, over: { rounds, ...(why !== undefined && { why }) } })
  }

  async #write(state: State): Promise<void> {
    await writeJsonFile(join(this.path, 'state.json'), state)
    this.#state = state
  }

  close(): void {
    this.#lock.release()
  }
}
