/**
 * A client of a federation, whatever lies between it and its server: asks what it lacks, works, sends, and waits for the outcome.
 *
 *   next(known) → work → [notice.json] → train → [answer.bin, manifest.json] → upload, say → [receipt.json] → next(known) → outcome → [state.json]
 *
 * What stands in brackets is on disk before the next arrow. The loop reads where it is from the folder alone, so that it goes on after a stop or a
 * crash as it would have without.
 */
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Description, Known, Notice } from '../link/messages.js'
import { type Retrying, retrying } from '../link/retry.js'
import type { ParticipantResult } from './events.js'
import type { ClientFolder } from './folder.js'
import type { Due, Work } from './outbox.js'
import type { Ask, Context, ParticipantParts } from './parts.js'
import { RoundWork } from './round-work.js'
import { SecureRound } from './secure-round.js'

/** Tells that a call is made again. */
export const telling =
  (emit: Context['emit']): Retrying['onRetry'] =>
  (error, milliseconds) => {
    const { code, message: why } = error as FedloraError
    emit({ type: 'retry', code, why, seconds: milliseconds / 1000 })
  }

/** Tells that the federation has ended, and gives what it came to. */
export function tellEnd({ standing }: ClientFolder, emit: Context['emit']): ParticipantResult {
  const { rounds, counted, why } = standing
  emit({ type: 'over', rounds: rounds!, counted, ...(why !== undefined && { why }) })
  return standing
}

export class Participant {
  readonly #parts: ParticipantParts
  readonly #context: Context
  readonly #ask: Ask
  readonly #round: RoundWork
  /** Of the round under way, where updates travel masked. */
  #secure: SecureRound | undefined

  constructor(parts: ParticipantParts, context: Context) {
    const { time, random } = parts
    const { signal } = context
    const onRetry = telling(context.emit)
    this.#parts = parts
    this.#context = context
    this.#ask = (call) => retrying(() => call(signal), { signal, time, random, onRetry })
    this.#round = new RoundWork(parts, context, this.#ask)
  }

  get #known(): Known {
    const { settled, outbox } = this.#parts.folder
    return { settled, working: outbox.due?.work.round ?? null, heard: this.#secure?.heard ?? 0 }
  }

  /** Takes part until the federation ends. @throws FedloraError what neither repeating nor the next round mends; the signal's reason. */
  async run(): Promise<ParticipantResult> {
    const { folder, link, workshop } = this.#parts
    const description = await this.#ask((signal) => link.describe(signal))
    await folder.belongTo(description.run)
    await workshop.open(description, this.#context, (ref, path) =>
      this.#ask((signal) => link.download(ref, path, signal)),
    )
    this.#joined(description)
    while (folder.over === undefined) await this.#advance()
    return tellEnd(folder, this.#context.emit)
  }

  #joined({ run, name, federation }: Description): void {
    const { settled } = this.#parts.folder
    this.#context.emit({ type: 'joined', run, name, rounds: Number(federation.rounds), settled })
  }

  /** What comes next, by what the folder holds. */
  async #advance(): Promise<void> {
    const { folder, link, eligibility } = this.#parts
    const { signal, emit } = this.#context
    const { due } = folder.outbox
    if (due === undefined) this.#secure = undefined
    else if (!(await this.#speaks(due))) return
    else if (due.receipt === undefined && (this.#secure?.mayWork ?? true)) {
      return await this.#round.finish(due, this.#secure)
    }
    const waits = (why: string) => emit({ type: 'waiting', for: 'eligibility', why })
    if (due === undefined) await eligibility.wait(signal, waits)
    const notice = await this.#ask((inner) => link.next(this.#known, inner))
    signal.throwIfAborted()
    if (notice === undefined) emit({ type: 'waiting', for: 'server', why: due ? 'the outcome' : 'work' })
    else await this.#hear(notice)
  }

  /** Says what a secure aggregation has it say; false: it cannot, and the round goes on without it. */
  async #speaks(due: Due): Promise<boolean> {
    const { work, prepared } = due
    if (work.secure === undefined) return true
    const { folder, link } = this.#parts
    const { round } = work
    try {
      this.#secure ??= await SecureRound.open(folder.outbox.path('secure.bin'), work, link.identity)
      const reply = await this.#secure.speak((message) =>
        this.#ask((signal) => link.say({ type: 'secure', round, message }, signal)),
      )
      // What came too late is told by the outcome.
      if (reply?.type !== 'refused' || reply.code === 'E_ROUND_CLOSED') return true
      const message = `the server refuses what this client says in the secure aggregation: ${reply.why} (${reply.code})`
      if (prepared === undefined) throw new FedloraError('E_PROTOCOL', message)
      this.#context.emit({ type: 'warning', message })
      return true
    } catch (error) {
      if (!isFedloraError(error) || prepared !== undefined) throw error
      await this.#round.failed(work, error)
      return false
    }
  }

  async #hearSecure({ round, number, message }: Extract<Notice, { type: 'secure' }>): Promise<void> {
    const { due } = this.#parts.folder.outbox
    const secure = this.#secure
    if (due?.work.round !== round || secure === undefined) {
      throw new FedloraError(
        'E_PROTOCOL',
        `the server tells of a secure aggregation in round ${round}, in which this client has none`,
      )
    }
    try {
      await secure.hear(number, message, due.prepared?.secure)
    } catch (error) {
      if (!isFedloraError(error) || (error.code !== 'E_PROTOCOL' && error.code !== 'E_FORMAT')) throw error
      if (due.prepared === undefined) return await this.#round.failed(due.work, error)
      // Its answer is in the sum or is not: it gives nothing away, and waits for the outcome.
      this.#context.emit({ type: 'warning', message: error.message })
      await secure.leave(number)
    }
  }

  async #hear(notice: Notice): Promise<void> {
    const { folder } = this.#parts
    if (notice.type === 'work') return await this.#take(notice)
    if (notice.type === 'secure') return await this.#hearSecure(notice)
    if (notice.type === 'outcome') {
      const { round, counted, why } = notice
      const { due } = folder.outbox
      if (due !== undefined && due.work.round !== round) {
        throw new FedloraError(
          'E_PROTOCOL',
          `the server tells the outcome of round ${round}, and this client works in round ${due.work.round}`,
        )
      }
      // What was not sent cannot have counted, whatever is said of it.
      const ours = due?.work.round === round && due.prepared !== undefined
      await folder.settle(round, counted && ours)
      this.#context.emit({ type: 'outcome', round, counted: counted && ours, ...(why !== undefined && { why }) })
    }
    if (notice.type === 'over') {
      const { due } = folder.outbox
      if (due !== undefined) await folder.settle(due.work.round, false)
      await folder.end(notice.round, notice.why)
    }
  }

  /** Takes work on, unless it is beyond a limit. */
  async #take(work: Work): Promise<void> {
    const { folder, workshop } = this.#parts
    const { due } = folder.outbox
    // A server that was set back asks again for what it had.
    if (due?.work.round === work.round) return await folder.outbox.resend()
    if (due !== undefined) await folder.giveUp()
    this.#checkWork(work)
    try {
      await workshop.check(work)
    } catch (error) {
      if (!isFedloraError(error)) throw error
      return await this.#round.decline(work, error)
    }
    this.#secure = undefined
    await folder.outbox.begin(work)
  }

  /** @throws FedloraError `E_PROTOCOL` for work that is another's, or of a round whose outcome is kept. */
  #checkWork({ round, offer }: Work): void {
    const { client = offer.client, folder } = this.#parts
    const refuse = (message: string): never => {
      throw new FedloraError('E_PROTOCOL', `the server asks for work of round ${round}: ${message}`, { round })
    }
    if (offer.round !== round) refuse(`its offer is of round ${offer.round}`)
    if (offer.client !== client) refuse(`its offer is for client ${offer.client}, and this one is ${client}`)
    if (round > folder.settled) return
    refuse(
      `round ${folder.settled} has ended already; it has lost what it knew: ask its operator, and join with a new folder`,
    )
  }
}
