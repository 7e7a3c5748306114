/** A round from the work that was taken on to the server's receipt. */
import { readFile } from 'node:fs/promises'
import { type ErrorCode, FedloraError, isFedloraError } from '../../errors.js'
import { exists, hashFile } from '../../files/atomic.js'
import { jointNorm } from '../clipping.js'
import type { Manifest, Reply, Word } from '../link/messages.js'
import type { Task } from '../protocol/messages.js'
import { Heartbeat } from './heartbeat.js'
import type { Due, Prepared, Work } from './outbox.js'
import type { Outgoing } from './outgoing.js'
import type { Ask, Context, ParticipantParts } from './parts.js'
import type { Done } from './workshop.js'

/** Failures that a round's work may have, and the next round's need not. */
const ofTheRound: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['E_NONFINITE', 'E_MEMORY', 'E_CONFIG', 'E_ARGUMENT', 'E_SHAPE', 'E_FORMAT'] as const),
  ...(['E_CHECKSUM', 'E_VERSION', 'E_UNSUPPORTED', 'E_PROTOCOL', 'E_TOO_LARGE', 'E_BLOB_MISSING'] as const),
])

/** Answers of a server that say as an error what a receipt would say: it will never count. */
const refusals: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['E_ROUND_CLOSED', 'E_ALREADY_COUNTED', 'E_TOO_LARGE'])

export class RoundWork {
  readonly #parts: ParticipantParts
  readonly #context: Context
  readonly #ask: Ask

  constructor(parts: ParticipantParts, context: Context, ask: Ask) {
    this.#parts = parts
    this.#context = context
    this.#ask = ask
  }

  /** Goes on with a round from where it stands. */
  async finish(due: Due): Promise<void> {
    const { round } = due.work
    try {
      const prepared = due.prepared ?? (await this.#work(due.work))
      if (!(await this.#approved(prepared.outgoing))) {
        const why = 'what it would have sent was looked at, and not approved'
        return await this.decline(due.work, new FedloraError('E_LIMIT', why))
      }
      await this.#parts.workshop.beforeSending(prepared, due.work)
      await this.#parts.folder.outbox.receive(await this.#send(round, prepared))
    } catch (error) {
      if (isFedloraError(error, 'E_LIMIT')) return await this.decline(due.work, error)
      if (!isFedloraError(error) || !ofTheRound.has(error.code)) throw error
      this.#context.emit({ type: 'failed', round, code: error.code, why: error.message })
      await this.#say({ type: 'failed', round, code: error.code, why: whyOf(error) })
      await this.#parts.folder.giveUp()
    }
  }

  /** Says why not. */
  async decline({ round }: Work, error: FedloraError): Promise<void> {
    const { code, message: why } = error
    this.#context.emit({ type: 'declined', round, code, why })
    await this.#say({ type: 'declined', round, code, why: whyOf(error) })
    if (this.#parts.folder.outbox.due !== undefined) await this.#parts.folder.giveUp()
  }

  async #say(word: Word): Promise<Reply> {
    return await this.#ask((signal) => this.#parts.link.say(word, signal))
  }

  async #approved(outgoing: Outgoing): Promise<boolean> {
    const { approve, folder } = this.#parts
    if (approve === undefined) return true
    const file = outgoing.vectors.length > 0 || outgoing.masked ? folder.outbox.answer : undefined
    return (await approve({ ...structuredClone(outgoing), file })) === true
  }

  /** Works, and writes down what came of it. */
  async #work(work: Work): Promise<Prepared> {
    const { link, folder, workshop, time, random } = this.#parts
    const { signal, emit } = this.#context
    const { round, offer } = work
    emit({ type: 'work', round, rounds: offer.rounds, algorithm: offer.algorithm })
    const heartbeat = new Heartbeat((word, inner) => link.say(word, inner), { round, time, random, signal })
    const done = await heartbeat.during(async (inner) => {
      const task = await this.#fetch(work)
      return await workshop.work(task, work, {
        own: folder.own,
        signal: inner,
        onStep: ({ step, steps, loss }) => {
          heartbeat.at(step, steps)
          emit({ type: 'step', round, step, steps, loss })
        },
      })
    })
    return await this.#writeDown(done)
  }

  /** The task of an offer: its blobs are brought here, and read. */
  async #fetch({ offer }: Work): Promise<Task> {
    const { link, folder } = this.#parts
    const vectors: Record<string, Uint8Array> = {}
    for (const [name, ref] of Object.entries(offer.vectors)) {
      const path = folder.outbox.path(`${ref.blob}.blob`)
      const isThere = (await exists(path)) && (await hashFile(path)) === ref.blob
      if (!isThere) await this.#ask((signal) => link.download(ref, path, signal))
      vectors[name] = await readFile(path)
    }
    return { ...offer, vectors }
  }

  async #writeDown({ answer, vectors: before, codec }: Done): Promise<Prepared> {
    const { outbox, own, run } = this.#parts.folder
    const { vectors, masked, ...rest } = answer
    const names = Object.keys(vectors).sort()
    const parts = masked === undefined ? names.map((name) => vectors[name]!) : [masked.message.words]
    const blob = await outbox.writeAnswer(parts)
    const manifest: Manifest = {
      run,
      answer: rest,
      vectors: Object.fromEntries(names.map((name) => [name, vectors[name]!.length])),
      blob,
    }
    const { round, rows, steps, tokens, loss, numbers } = rest
    const outgoing: Outgoing = {
      round,
      bytes: blob?.bytes ?? 0,
      codec,
      vectors: names.map((name) => ({ name, length: before[name]!.length, bytes: vectors[name]!.length })),
      norm: jointNorm(before),
      masked: masked !== undefined,
      ...{ rows, steps, tokens, loss, numbers },
    }
    const prepared = { manifest, keeps: await own.written(), outgoing }
    await outbox.prepare(prepared)
    return prepared
  }

  /** Sends an answer; what the server says of it. */
  async #send(round: number, { manifest, outgoing }: Prepared): Promise<Reply> {
    const { link, folder } = this.#parts
    const { blob } = manifest
    try {
      const reply = await this.#ask(async (signal) => {
        // A round that has closed with this answer takes its bytes no more; what became of it is told to whoever says it again.
        if (blob !== null) await link.upload(blob, folder.outbox.answer, signal).catch(unlessClosed)
        return await link.say({ type: 'answer', round, manifest }, signal).catch((error: unknown) => {
          if (blob === null || !isFedloraError(error, 'E_BLOB_MISSING')) throw error
          throw new FedloraError(
            'E_UPLOAD_OFFSET',
            `the server has lost what was uploaded: ${error.message}`,
            { offset: 0 },
            error,
          )
        })
      })
      if (reply.type === 'taken') this.#context.emit({ type: 'sent', ...outgoing })
      return reply
    } catch (error) {
      if (!isFedloraError(error) || !refusals.has(error.code)) throw error
      return { type: 'refused', code: error.code, why: words(error.message) }
    }
  }
}

/** What a server is told of an error: of limits all, of others the code. Messages may name files, rows and what stands in them. */
function whyOf({ code, message }: FedloraError): string {
  if (code === 'E_LIMIT') return words(message)
  return `its work ended with ${code}; more is told on the client's machine only`
}

function unlessClosed(error: unknown): void {
  if (!isFedloraError(error, 'E_ROUND_CLOSED')) throw error
}

/** As long as a word may be. */
const words = (text: string) => text.slice(0, 4096)
