/** What clients ask and say, one by one: notices, answers, and the bytes of both. Carriers have made sure who speaks. */
import { FedloraError } from '../../errors.js'
import type { Vectors } from '../algorithms/algorithm.js'
import type { BlobId, BlobRef } from '../blobs/blob-store.js'
import { answerOf, checkSizes, digestOf, foreignTo } from '../link/answers.js'
import type { Door } from '../link/link.js'
import type { Description, Known, Notice, Offer, Reply, Word } from '../link/messages.js'
import type { Answer } from '../protocol/messages.js'
import type { Space } from '../protocol/space.js'
import { isRefusal } from '../server/screen.js'
import type { Aggregation } from './aggregation.js'
import { isStale, stalenessOf } from './buffering.js'
import type { Conductor } from './conductor.js'
import { lacks } from './notices.js'
import { workNotice } from './offers.js'
import { checkMember } from './registry.js'
import type { SecureRounds } from './secure.js'
import { isPhaseOver, underWay } from './secure-state.js'
import { deadlineOf, isOffered, phaseOf, type State, waitedRound } from './state.js'
import type { Tools } from './tools.js'

const taken: Reply = { type: 'taken' }
const refusal = (code: string, why: string): Reply => ({ type: 'refused', code, why })

export class Reception implements Door {
  readonly #tools: Tools
  readonly #aggregation: Aggregation
  readonly #conductor: Conductor
  readonly #secure: SecureRounds

  constructor(tools: Tools, aggregation: Aggregation, conductor: Conductor, secure: SecureRounds) {
    this.#tools = tools
    this.#aggregation = aggregation
    this.#conductor = conductor
    this.#secure = secure
  }

  get #state(): State {
    return this.#tools.book.state
  }

  /** @throws FedloraError `E_AUTH`, `E_REVOKED`, `E_UNREACHABLE`. */
  #check(client: string): void {
    this.#tools.book.checkOpen()
    checkMember(this.#state.members, client)
  }

  async describe(): Promise<Description> {
    return this.#state.description!
  }

  async next(client: string, known: Known, signal: AbortSignal): Promise<Notice | undefined> {
    for (;;) {
      this.#check(client)
      const lacking = lacks(this.#state, client, known) ?? this.#secure.noticeFor(client, known)
      if (lacking === 'work') {
        const work = await this.#tools.book.exclusive(() => this.#work(client, known))
        if (work !== undefined) return work
      } else if (lacking !== undefined) return lacking
      else if (signal.aborted) return undefined
      else await this.#tools.waiters.wait(client, signal)
    }
  }

  /** Undefined when the client is waited for no longer. */
  async #work(client: string, { settled }: Known): Promise<Notice | undefined> {
    const round = waitedRound(this.#state, client)
    if (round === undefined) return undefined
    const { members, now } = this.#tools
    const kind = this.#aggregation.kindOf(client)
    const { local, differs } = members.localOf(client)
    const deadline = deadlineOf(this.#state, client)
    // Who has lost what it held is sent the whole.
    const holds = settled >= this.#state.members.get(client)!.held
    return workNotice(await this.#offer(client, kind.space, round, holds), {
      deadline: deadline === null ? null : Math.max(0, deadline - now()) / 1000,
      adapter: members.adapterOf(kind),
      local: differs ? local : undefined,
      secure: this.#secure.offerTo(client),
    })
  }

  /** @param holds - whether the client has the adapter of the last round that it kept. */
  async #offer(client: string, space: Space, round: number, holds: boolean): Promise<Offer> {
    const { buffering, members } = this.#state
    if (buffering !== undefined) {
      const { offer, whole } = buffering.work.get(client)!
      return { ...offer, client, vectors: (holds ? undefined : whole) ?? offer.vectors }
    }
    const version = holds ? members.get(client)!.held : undefined
    const rate = this.#aggregation.rateOf(client, round)
    return await this.#tools.offers.of(this.#aggregation.server.task(client, space, round, rate, version))
  }

  async say(client: string, word: Word): Promise<Reply> {
    const reply = await this.#tools.book.exclusive(async () => {
      this.#check(client)
      switch (word.type) {
        case 'answer':
          return await this.#answer(client, word)
        case 'working':
          if (this.#isStale(client, word.round)) return stale(client, word.round)
          return this.#isOpenTo(client, word.round) || this.#lastOf(client, word.round)
            ? taken
            : closed(client, word.round)
        case 'secure':
          await this.#conductor.makeUp()
          return await this.#secure.hear(client, word.round, word.message)
        default:
          return await this.#goWithout(client, word)
      }
    })
    const { buffering } = this.#state
    const isAssigned = this.#tools.queue !== undefined && word.type === 'answer'
    const goesOn = isAssigned || isPhaseOver(this.#state, this.#tools.now()) || (buffering && word.type !== 'working')
    if (phaseOf(this.#state) === 'closing' || goesOn) void this.#conductor.settle()
    return reply
  }

  #isOpenTo(client: string, round: number): boolean {
    return waitedRound(this.#state, client) === round
  }

  /** Whether what a client is at work on could not count any more. */
  #isStale(client: string, round: number): boolean {
    const { buffering } = this.#state
    return buffering !== undefined && this.#isOpenTo(client, round) && isStale(buffering, round)
  }

  /** What the client was told of its answer to a round. */
  #lastOf(client: string, round: number) {
    const { last } = this.#state.members.get(client)!
    return last?.round === round ? last : undefined
  }

  /** A client that says twice that it will not answer is as right as before. */
  async #goWithout(client: string, { type, round, code, why }: Word & { type: 'failed' | 'declined' }): Promise<Reply> {
    if (!this.#isOpenTo(client, round)) return taken
    const { book, now } = this.#tools
    await book.append({ type, at: now(), round, client, code, why })
    return taken
  }

  async #answer(client: string, { round, manifest }: Word & { type: 'answer' }): Promise<Reply> {
    await this.#conductor.makeRoom()
    const { book, now, uploads } = this.#tools
    const digest = digestOf(manifest)
    const last = this.#lastOf(client, round)
    if (last !== undefined) {
      if (last.digest === digest)
        return last.refused === undefined ? taken : refusal(last.refused.code, last.refused.why)
      return refusal('E_ALREADY_COUNTED', `client ${client} has given another answer to round ${round}, which stands`)
    }
    if (!this.#isOpenTo(client, round)) return closed(client, round)
    const { phase = 'masked' } = underWay(this.#state) ?? {}
    if (phase !== 'masked')
      return refusal('E_PROTOCOL', `round ${round} is in its phase '${phase}': no answer is due yet`)
    const foreign = foreignTo(manifest, { run: this.#state.description!.run, client, round })
    if (foreign !== undefined) return refusal('E_PROTOCOL', foreign)
    const at = now()
    if (this.#isStale(client, round)) {
      const { code, why } = stale(client, round)
      await book.append({ type: 'refused', at, round, client, digest, code, why })
      uploads.delete(client)
      return refusal(code, why)
    }
    await this.#checkBlob(client, manifest.blob)
    if (underWay(this.#state) !== undefined) await this.#conductor.makeUp()
    if (this.#tools.queue !== undefined) {
      await book.append({ type: 'received', at, round, client, digest, manifest })
      uploads.delete(client)
      return taken
    }
    let answer: Answer
    let vectors: Vectors
    try {
      checkSizes(manifest)
      answer = await answerOf(manifest, this.#tools.blobs)
      vectors = this.#aggregation.screen(answer)
    } catch (error) {
      if (!isRefusal(error)) throw error // the server's own trouble: the client says it again
      const { code, message: why } = error
      await book.append({ type: 'refused', at, round, client, digest, code, why })
      uploads.delete(client)
      return refusal(code, why)
    }
    const { buffering } = this.#state
    const staleness = buffering && { staleness: stalenessOf(buffering, round) }
    await book.append({ type: 'accepted', at, round, client, digest, manifest, ...staleness })
    await this.#conductor.add(answer, vectors)
    uploads.delete(client)
    return taken
  }

  async #checkBlob(client: string, ref: BlobRef | null): Promise<void> {
    if (ref === null || (await this.#tools.blobs.sizeOf(ref.blob)) === ref.bytes) return
    const message = `the answer of client ${client}: its blob is not here: send it first`
    throw new FedloraError('E_BLOB_MISSING', message, { client, blob: ref.blob })
  }

  async read(client: string, blob: BlobId, from: number) {
    this.#check(client)
    const { blobs, offers } = this.#tools
    const isFor = offers.isLive(blob) || isOffered(this.#state, client, blob)
    const bytes = isFor ? await blobs.sizeOf(blob) : undefined
    if (bytes !== undefined) return { bytes, chunks: blobs.open(blob, from) }
    throw new FedloraError('E_BLOB_MISSING', `blob ${blob} is not there, or not for client ${client}`, { blob })
  }

  async offset(client: string, blob: BlobId): Promise<number> {
    this.#check(client)
    return await this.#tools.blobs.offsetOf(blob)
  }

  /** @throws FedloraError `E_TOO_LARGE` for a client that begins one upload after the other. */
  #begins(client: string, blob: BlobId): void {
    const begun = this.#tools.uploads.get(client) ?? new Set()
    if (!begun.has(blob) && begun.size >= mostUploads) {
      const message = `client ${client} has begun ${begun.size} other answers in this round; it may send what is left of them`
      throw new FedloraError('E_TOO_LARGE', message, { client, most: mostUploads })
    }
    this.#tools.uploads.set(client, begun.add(blob))
  }

  async write(client: string, ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    this.#check(client)
    const round = waitedRound(this.#state, client)
    if (round === undefined) {
      throw new FedloraError('E_ROUND_CLOSED', `no answer of client ${client} is waited for`, { client })
    }
    const most = this.#aggregation.mostBytes(client, round)
    if (ref.bytes > most) {
      const message = `an answer of client ${client} may have ${most} bytes, got ${ref.bytes}`
      throw new FedloraError('E_TOO_LARGE', message, { bytes: ref.bytes, most })
    }
    this.#begins(client, ref.blob)
    return await this.#tools.blobs.write(ref, from, chunks)
  }
}

/** Blobs that a client may begin in one round: it trains again when it has lost what it made, and that gives the same bytes. */
const mostUploads = 3

const stale = (client: string, round: number) => ({
  type: 'refused' as const,
  code: 'E_STALE',
  why: `the work of client ${client} on round ${round} began from a state that is too old by now`,
})

function closed(client: string, round: number): Reply {
  return refusal('E_ROUND_CLOSED', `round ${round} takes no answers of client ${client}: it is over, or did not ask it`)
}
