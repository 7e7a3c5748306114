/** A round from the work that was taken on to the server's receipt. */
import { readFile } from 'node:fs/promises'
import { type ErrorCode, FedloraError, isFedloraError } from '../../errors.js'
import { exists, hashFile } from '../../files/atomic.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { jointNorm } from '../clipping.js'
import { type Manifest, mostWordsLength, type Reply, type Word } from '../link/messages.js'
import { pack } from '../link/packed.js'
import type { Answer, Task } from '../protocol/messages.js'
import { Heartbeat } from './heartbeat.js'
import type { Due, Prepared, Work } from './outbox.js'
import type { Outgoing } from './outgoing.js'
import type { Ask, Context, ParticipantParts } from './parts.js'
import type { Masked, SecureRound } from './secure-round.js'
import type { Done, WorkContext } from './workshop.js'

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
  async finish({ work, prepared: before }: Due, secure: SecureRound | undefined): Promise<void> {
    const { outbox } = this.#parts.folder
    let prepared = before
    try {
      prepared ??= await this.#work(work, secure)
      if (!prepared.leaving) prepared = await this.#release(prepared, work)
    } catch (error) {
      if (!isFedloraError(error)) throw error
      return await this.failed(work, error)
    }
    await outbox.receive(await this.#send(work.round, prepared))
  }

  /** The round goes on without this client, if its work failed as the next round's need not. @throws what it must end with. */
  async failed(work: Work, error: FedloraError): Promise<void> {
    const { round } = work
    const { code, message: why } = error
    if (code === 'E_LIMIT') return await this.decline(work, error)
    if (!ofTheRound.has(code)) throw error
    this.#context.emit({ type: 'failed', round, code, why })
    await this.#say({ type: 'failed', round, code, why: whyOf(error) })
    await this.#parts.folder.giveUp()
  }

  /** The answer may leave: somebody has looked at it, and what it costs is paid. @throws FedloraError `E_LIMIT` when it may not. */
  async #release(prepared: Prepared, work: Work): Promise<Prepared> {
    const { workshop, folder } = this.#parts
    if (!(await this.#approved(prepared.outgoing))) {
      throw new FedloraError('E_LIMIT', 'what it would have sent was looked at, and not approved')
    }
    await workshop.beforeSending(prepared, work)
    return await folder.outbox.release()
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
  async #work(work: Work, secure: SecureRound | undefined): Promise<Prepared> {
    const { link, folder, workshop, time, random } = this.#parts
    const { signal, emit } = this.#context
    const { round, offer } = work
    emit({ type: 'work', round, rounds: offer.rounds, algorithm: offer.algorithm })
    const heartbeat = new Heartbeat((word, inner) => link.say(word, inner), { round, time, random, signal })
    let masked: Masked | undefined
    const done = await heartbeat.during(async (inner) => {
      const task = await this.#fetch(work)
      const mask: WorkContext['mask'] = (vectors, weight) => {
        masked = secure!.mask(task, vectors, weight)
        return masked.masked
      }
      return await workshop.work(task, work, {
        mask: secure && mask,
        own: folder.own,
        signal: inner,
        onStep: ({ step, steps, loss }) => {
          heartbeat.at(step, steps)
          emit({ type: 'step', round, step, steps, loss })
        },
      })
    })
    return await this.#writeDown(done, masked)
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

  async #writeDown({ answer, vectors: before, codec }: Done, secure: Masked | undefined): Promise<Prepared> {
    const { outbox, own, run } = this.#parts.folder
    const { vectors, masked, ...rest } = answer
    const names = Object.keys(vectors).sort()
    const parts = masked === undefined ? names.map((name) => vectors[name]!) : [pack(masked.message)]
    const blob = await outbox.writeAnswer(parts)
    const manifest: Manifest = {
      run,
      answer: rest,
      vectors: Object.fromEntries(names.map((name) => [name, vectors[name]!.length])),
      ...(masked !== undefined && { masked: masked.vectors }),
      blob,
    }
    const { round, rows, steps, tokens, loss, numbers } = rest
    const outgoing: Outgoing = {
      round,
      bytes: blob?.bytes ?? 0,
      codec,
      vectors: contentsOf(answer, before, secure?.wordBytes),
      norm: jointNorm(before),
      masked: masked !== undefined,
      ...{ rows, steps, tokens, loss, numbers },
    }
    const keeps = await own.written()
    const prepared = { manifest, keeps, leaving: false, ...(secure && { secure: secure.state }), outgoing }
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
      if (reply.type === 'taken') {
        const { epsilon } = this.#parts.workshop
        this.#context.emit({ type: 'sent', ...outgoing, ...(epsilon !== undefined && { epsilon }) })
      }
      return reply
    } catch (error) {
      if (!isFedloraError(error) || !refusals.has(error.code)) throw error
      return { type: 'refused', code: error.code, why: words(error.message) }
    }
  }
}

/** Names, values and bytes of what an answer holds. @param wordBytes - of a value under a mask. */
function contentsOf({ vectors, masked }: Answer, before: Readonly<Vectors>, wordBytes = 0): Outgoing['vectors'] {
  if (masked === undefined) {
    const names = Object.keys(vectors).sort()
    return names.map((name) => ({ name, length: before[name]!.length, bytes: vectors[name]!.length }))
  }
  return masked.vectors.map(([name, length]) => ({ name, length, bytes: length * wordBytes }))
}

/** What a server is told of an error: of limits all, of others the code. Messages may name files, rows and what stands in them. */
function whyOf({ code, message }: FedloraError): string {
  if (code === 'E_LIMIT') return words(message)
  return `its work ended with ${code}; more is told on the client's machine only`
}

function unlessClosed(error: unknown): void {
  if (!isFedloraError(error, 'E_ROUND_CLOSED')) throw error
}

const words = (text: string) => text.slice(0, mostWordsLength)
