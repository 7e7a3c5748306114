/**
 * The server of a federation, behind every carrier: one command at a time is decided over the state, its records are appended to the journal, and
 * only what is durable has effects. The state is the fold of the journal; a server that is opened again on the same journal and blobs goes on where
 * the last one stopped, whatever stopped it.
 *
 *   command → decide → append → apply → effects: sums, notices, timers, events
 *
 * Answers wait in their blobs until their round ends, so that they can be added again: sums are exact, and no order changes a bit of them.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { FedloraError, isFedloraError } from '../../errors.js'
import { makeFolder } from '../../files/atomic.js'
import type { BlobId, BlobRef, BlobStore } from '../blobs/blob-store.js'
import type { Journal } from '../journal/journal.js'
import type { Door, Registry } from '../link/link.js'
import type { Description, Known, Notice, Reply, Word } from '../link/messages.js'
import type { Standing } from '../link/standing.js'
import type { WorkQueue } from '../workers/work-queue.js'
import { Aggregation } from './aggregation.js'
import { Book } from './book.js'
import { Conductor } from './conductor.js'
import type { CoordinatorEvent } from './events.js'
import type { Judge } from './judge.js'
import { FederationLog } from './log.js'
import { Members } from './members.js'
import { Offers } from './offers.js'
import { type CoordinatorOptions, parseCoordinatorOptions } from './options.js'
import { openPrivacy } from './privacy.js'
import { Reception } from './reception.js'
import type { Record as Entry, RecordOf } from './records.js'
import { admission, checkKey, checkName, clientOf, enrolment, hashOfToken } from './registry.js'
import { SecureRounds } from './secure.js'
import { checkSecure } from './secure-terms.js'
import { checkSame, describe, openSetup, saveAdapter } from './setup.js'
import { type Known as Lives, standingOf } from './standing.js'
import { isOver, isUnderWay, placeOf, populationOf, type State } from './state.js'
import type { Tools } from './tools.js'
import { Waiters } from './waiters.js'
import { checkWorkers } from './workers.js'

export interface CoordinatorParts extends Partial<Pick<Tools, 'now' | 'after' | 'random'>> {
  /** Where the adapter is left; undefined: nowhere. */
  folder?: string | undefined
  journal: Journal<Entry>
  blobs: BlobStore
  config: CoordinatorOptions
  /** Hears every event, those of the opening among them. */
  onEvent?: ((event: CoordinatorEvent) => void) | undefined
  /** Measures the global adapter, and is closed with the server; undefined: nobody does. */
  judge?: Judge | undefined
  /** Where workers find answers to screen and sum, as `config.workers` says; closed with the server. */
  queue?: WorkQueue | undefined
  /** Opened for an operator's word while no server runs: no round begins or ends. */
  asleep?: boolean
}

const longestTimer = 2 ** 31 - 1

function afterTime(milliseconds: number, act: () => void): () => void {
  const timer = setTimeout(act, Math.min(Math.max(0, milliseconds), longestTimer))
  return () => clearTimeout(timer)
}

export class Coordinator implements Door, Registry {
  readonly #tools: Tools
  readonly #listeners: Set<(event: CoordinatorEvent) => void>
  readonly #aggregation: Aggregation
  readonly #conductor: Conductor
  readonly #reception: Reception
  /** Resolves when the federation is over, its adapter written. Rejects with what ended the server before. */
  readonly over: Promise<void>
  /** Ends what is heard of workers. */
  #deafen: (() => Promise<void>) | undefined
  #closing: Promise<void> | undefined

  private constructor(
    tools: Tools,
    listeners: Set<(event: CoordinatorEvent) => void>,
    aggregation: Aggregation,
    over: Ending,
  ) {
    this.#tools = tools
    this.#listeners = listeners
    this.#aggregation = aggregation
    const secure = new SecureRounds(tools, aggregation.server.masked)
    this.#conductor = new Conductor(tools, aggregation, secure, over.resolve)
    this.#reception = new Reception(tools, aggregation, this.#conductor, secure)
    this.over = over.promise
  }

  /**
   * Opens a federation: begins it on an empty journal, and goes on with it on any other.
   * @throws FedloraError `E_CONFIG`, `E_UNSUPPORTED`, `E_MISSING`, `E_CHECKPOINT` when the journal is of another federation, `E_JOURNAL_CORRUPT`, `E_IO`.
   */
  static async open(parts: CoordinatorParts): Promise<Coordinator> {
    const {
      now = Date.now,
      after = afterTime,
      random = randomBytes,
      folder,
      journal,
      blobs,
      judge,
      queue,
      onEvent,
      asleep = false,
    } = parts
    const config = parseCoordinatorOptions(parts.config)
    const setup = await openSetup(config)
    checkSecure(config, setup.chosen)
    if (!asleep) checkWorkers(config, setup.chosen, queue)
    const listeners = new Set(onEvent === undefined ? [] : [onEvent])
    const over = ending()
    const waiters = new Waiters()
    let log: FederationLog | undefined
    const tell = (event: CoordinatorEvent) => {
      log?.write(event)
      for (const listener of listeners) listener(event)
    }
    const book = new Book(journal, {
      onEvent: tell,
      onFatal: (error) => {
        over.reject(error)
        waiters.wake()
      },
    })
    const parts_ = { book, blobs, waiters, offers: new Offers(blobs), uploads: new Map<string, Set<BlobId>>() }
    await book.read()
    const privacy = await openPrivacy(config, book, now)
    log = folder === undefined ? undefined : await FederationLog.open(folder, book.state.log, tellTrouble(listeners))
    for (const event of book.retold) log?.write(event)
    if (journal.torn !== undefined) tell({ type: 'torn', ...journal.torn })
    const tools: Tools = {
      privacy,
      judge,
      queue: config.workers && queue,
      config,
      setup,
      members: new Members(config, setup),
      folder,
      log,
      asleep,
      now,
      after,
      random,
      tell,
      ...parts_,
    }
    return await Coordinator.#goOn(tools, listeners, over).catch(async (error: unknown) => {
      await log?.close()
      throw error
    })
  }

  /** A server that goes on where its journal ends. */
  static async #goOn(
    tools: Tools,
    listeners: Set<(event: CoordinatorEvent) => void>,
    over: Ending,
  ): Promise<Coordinator> {
    await begin(tools)
    const coordinator = new Coordinator(tools, listeners, await openAggregation(tools), over)
    if (!tools.asleep) await coordinator.#conductor.makeUp()
    if (!tools.asleep) coordinator.#hearWorkers()
    void coordinator.#conductor.settle()
    return coordinator
  }

  #hearWorkers(): void {
    this.#deafen = this.#tools.queue?.results((done) => this.#conductor.hear(done))
  }

  get #state(): State {
    return this.#tools.book.state
  }

  /** Tells every event from now on; gives what ends it. */
  onEvent(listener: (event: CoordinatorEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** How the federation stands; `lives`: what is known of its clients beside the journal. */
  standing({ lives = new Map(), problems = [] }: Partial<Lives> = {}): Standing {
    return standingOf(this.#state, this.#tools.config, { lives, problems, now: this.#tools.now() })
  }

  // ------------------------------------------------------------------------------------------------------------------------- the door

  describe(): Promise<Description> {
    return this.#reception.describe()
  }

  next(client: string, known: Known, signal: AbortSignal): Promise<Notice | undefined> {
    return this.#reception.next(client, known, signal)
  }

  say(client: string, word: Word): Promise<Reply> {
    return this.#reception.say(client, word)
  }

  read(client: string, blob: BlobId, from: number) {
    return this.#reception.read(client, blob, from)
  }

  offset(client: string, blob: BlobId): Promise<number> {
    return this.#reception.offset(client, blob)
  }

  write(client: string, ref: BlobRef, from: number, chunks: AsyncIterable<Uint8Array>): Promise<number> {
    return this.#reception.write(client, ref, from, chunks)
  }

  // ------------------------------------------------------------------------------------------------------------------ who comes and goes

  async invite(name: string, seconds: number): Promise<{ token: string }> {
    checkName(name)
    if (!(seconds > 0 && Number.isFinite(seconds))) {
      throw new FedloraError('E_ARGUMENT', `invite: got ${seconds} seconds, expected a number above 0`, { seconds })
    }
    const { book, random, now } = this.#tools
    return await book.exclusive(async () => {
      const token = random(32).toString('base64url')
      const at = now()
      await book.append({ type: 'invited', at, client: name, token: hashOfToken(token), expires: at + 1000 * seconds })
      return { token }
    })
  }

  async enroll(token: string, key: string): Promise<{ client: string }> {
    const { book, now } = this.#tools
    this.#checkKey(key)
    const client = await book.exclusive(async () => {
      const record = enrolment(this.#state, token, key, now())
      if (record === undefined) return this.#state.tokens.get(hashOfToken(token))!.client
      await book.append(record)
      return record.client
    })
    void this.#conductor.settle()
    return { client }
  }

  /** @throws FedloraError `E_AUTH` for a key that a secure aggregation could not use. */
  #checkKey(key: string): void {
    if (this.#tools.config.federation.secureAggregation !== undefined) checkKey(key)
  }

  async admit(client: string, key: string): Promise<void> {
    checkName(client)
    this.#checkKey(key)
    const { book, now, random } = this.#tools
    await book.exclusive(async () => {
      const token = hashOfToken(random(32).toString('base64url'))
      const records = admission(this.#state, client, key, { token, now: now() })
      if (records.length > 0) await book.append(...records)
    })
    void this.#conductor.settle()
  }

  clientOf(key: string): string {
    return clientOf(this.#state, key)
  }

  async revoke(name: string): Promise<void> {
    const { book, now, waiters } = this.#tools
    await book.exclusive(async () => {
      const { members, tokens } = this.#state
      if (!members.has(name) && ![...tokens.values()].some(({ client }) => client === name)) {
        throw new FedloraError('E_ARGUMENT', `revoke: there is no client ${JSON.stringify(name)}`, { name })
      }
      if (members.get(name)?.revoked) return
      await book.append({ type: 'revoked', at: now(), client: name })
      waiters.wake([name])
    })
    void this.#conductor.settle()
  }

  // ------------------------------------------------------------------------------------------------------------------------ the operator

  /** No further round begins; the one under way goes on. */
  async pause(who = 'operator'): Promise<void> {
    await this.#operate({ type: 'pause', at: this.#tools.now(), who }, () => !this.#state.paused)
  }

  async resume(who = 'operator'): Promise<void> {
    await this.#operate({ type: 'resume', at: this.#tools.now(), who }, () => this.#state.paused)
  }

  /** The round under way ends, and nothing of it counts. @throws FedloraError `E_ROUND_CLOSED` when there is none. */
  async abandonRound(who = 'operator'): Promise<void> {
    const { book, now } = this.#tools
    await book.exclusive(async () => {
      if (!isUnderWay(this.#state)) throw new FedloraError('E_ROUND_CLOSED', 'no round is under way')
      await book.append({ type: 'cancelled', at: now(), round: this.#state.ended.length + 1, who })
    })
    await this.#conductor.settle()
  }

  /** Nothing more is asked: the federation is over with what it has. The round under way is abandoned. */
  async stop(who = 'operator', why = 'the operator has ended it'): Promise<void> {
    await this.#operate({ type: 'stop', at: this.#tools.now(), who, why }, () => this.#state.stopped === undefined)
  }

  /** Writes the adapter of the last round that has ended, as a PEFT folder. @throws FedloraError `E_UNSUPPORTED` for a server without a folder. */
  async exportAdapter(): Promise<{ path: string }> {
    const { book, folder, setup } = this.#tools
    if (folder === undefined)
      throw new FedloraError('E_UNSUPPORTED', 'this server has no folder to write an adapter to')
    return await book.exclusive(async () => {
      const place = join(folder, 'export', `round-${this.#state.ended.length}`)
      await makeFolder(place)
      await saveAdapter(place, setup, this.#aggregation.server)
      return { path: join(place, 'adapter') }
    })
  }

  async #operate(record: RecordOf<'pause' | 'resume' | 'stop'>, applies: () => boolean): Promise<void> {
    const { book } = this.#tools
    await book.exclusive(async () => {
      if (!applies() || isOver(this.#state)) return
      await book.append(record)
    })
    await this.#conductor.settle()
  }

  /** Nothing is done any more, for a reason from outside: another server goes on. */
  giveUp(error: FedloraError): void {
    if (!this.#tools.book.ended) this.#tools.book.fail(error)
  }

  /** Ends after what is under way; another may then open the journal. The federation goes on where it is opened again. */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #close(): Promise<void> {
    const { book, blobs, judge, log, queue, waiters } = this.#tools
    const measured = this.#conductor.stop()
    const closed = book.close()
    waiters.wake()
    await closed
    await Promise.all([measured, this.#conductor.stop(), this.#deafen?.()])
    await queue?.close()
    await judge?.close()
    this.#aggregation.dispose()
    await blobs.close()
    await log?.close()
  }
}

/** Tells listeners, and not the log, that it cannot be written. */
const tellTrouble = (listeners: ReadonlySet<(event: CoordinatorEvent) => void>) => (error: unknown) => {
  const { code, message } = isFedloraError(error) ? error : { code: 'E_IO', message: String(error) }
  for (const listener of listeners) listener({ type: 'trouble', code, message })
}

interface Ending {
  promise: Promise<void>
  resolve: () => void
  reject: (error: unknown) => void
}

function ending(): Ending {
  let settle!: Omit<Ending, 'promise'>
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  promise.catch(() => {}) // whoever awaits it hears of it
  return { promise, ...settle }
}

/** An empty journal gets its first record; any other must be of this federation. */
async function begin({ config, setup, blobs, book, random, now }: Tools): Promise<void> {
  const description = await describe(config, setup, blobs)
  if (book.state.description !== undefined) return checkSame(book.state.description, description)
  const rules = JSON.parse(JSON.stringify(config.clients)) as RecordOf<'run'>['rules']
  await book.append({ type: 'run', at: now(), description: { ...description, run: random(16).toString('hex') }, rules })
}

async function openAggregation({ config, setup, members, privacy, blobs, book, folder }: Tools): Promise<Aggregation> {
  const { chosen, space, initial, adapter } = setup
  const { checkpoint, ended } = book.state
  const ground = {
    config: config.federation,
    chosen,
    space,
    initial,
    members,
    privacy,
    linearElements: adapter.linearElements,
    population: () => populationOf(book.state),
    placeOf: (client: string) => placeOf(book.state, client),
  }
  const kept = checkpoint && { ...checkpoint, round: ended.length }
  return await Aggregation.open(ground, folder === undefined ? [] : [folder], blobs, kept)
}
