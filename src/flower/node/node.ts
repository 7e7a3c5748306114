/**
 * A node of a Flower federation: it asks for instructions, has them worked on, and sends the replies. What is on disk decides what is next,
 * so that it goes on from wherever it was killed: pulled → confirmed → answered → delivered, each step written down before the next.
 */
import { FedloraError } from '../../errors.js'
import { Fleet } from '../fleet/fleet.js'
import { isRefusal } from '../fleet/refusal.js'
import { backOff, pause } from '../fleet/retry.js'
import type { NodeKey } from '../key/key.js'
import { fleetMethods } from '../wire/fleet.js'
import { aboutOf, answer, readInstruction } from './answer.js'
import { deliver } from './deliver.js'
import type { NodeEvent, NodeResult } from './events.js'
import { type Heart, startHeart } from './heart.js'
import { beat, enter } from './identity.js'
import { Inbox, type Pulled, readPulled } from './inbox.js'
import type { Work } from './instruction.js'
import { Outbox } from './outbox.js'
import type { Pace } from './pace.js'

export interface NodeParts {
  url: string
  ca: string | undefined
  insecure: boolean
  key: NodeKey
  /** It is this node's alone. */
  folder: string
  work: Work
  /** Seconds without an instruction after which the node leaves; undefined: never. */
  idle: number | undefined
  /** Of an instruction, on the wire and in memory. */
  maxBytes: number
  pace: Pace
  signal: AbortSignal
  emit(event: NodeEvent): void
}

export class FlowerNode {
  readonly #parts: NodeParts
  readonly #fleet: Fleet
  readonly #inbox: Inbox
  /** Ends with the caller's signal, and when the heartbeats fail. */
  readonly #ending = new AbortController()
  readonly #signal: AbortSignal
  #outbox!: Outbox
  #nodeId = 0n
  /** Replies that the server has, and when (ms): they are kept for the time of grace. */
  readonly #delivered = new Map<string, number>()
  readonly #counts = { delivered: 0, refused: 0, dropped: 0 }

  /** @throws FedloraError `E_CONFIG` for an address that is none. */
  constructor(parts: NodeParts) {
    this.#parts = parts
    this.#signal = AbortSignal.any([parts.signal, this.#ending.signal])
    this.#inbox = new Inbox(`${parts.folder}/inbox`)
    this.#fleet = new Fleet({
      ...parts,
      signal: this.#signal,
      onWait: ({ method, seconds, error }) => this.#tellWaiting(method, seconds, error.message),
    })
  }

  #tellWaiting(method: string, seconds: number, message: string): void {
    this.#parts.emit({ type: 'waiting', method, seconds, message })
  }

  /** Takes part until `idle` is over. @throws FedloraError of the server, this machine; the signal's reason. */
  async run(): Promise<NodeResult> {
    const { folder, pace } = this.#parts
    let heart: Heart | undefined
    try {
      this.#outbox = await Outbox.open(folder)
      await this.#enter()
      // Earlier than the server expects it, and never two nodes in step.
      const every = () => pace.heartbeat * (0.6 + 0.15 * Math.random())
      heart = startHeart(
        () => this.#beat(),
        every,
        this.#signal,
        (error) => this.#ending.abort(error),
      )
      await this.#goOn()
      await this.#serve()
      await this.#leave()
      return { nodeId: String(this.#nodeId), ...this.#counts, finishReason: 'idle' }
    } finally {
      await heart?.stop()
      this.#fleet.close()
    }
  }

  /** What has become of the node so far. */
  get result(): NodeResult {
    return { nodeId: String(this.#nodeId), ...this.#counts, finishReason: 'stopped' }
  }

  async #enter(): Promise<void> {
    const { key, folder, pace, emit } = this.#parts
    const { nodeId, again } = await enter({
      fleet: this.#fleet,
      key,
      folder,
      pace,
      signal: this.#signal,
      onWait: (seconds, message) => this.#tellWaiting('activate-node', seconds, message),
    })
    this.#nodeId = nodeId
    emit({ type: 'joined', url: this.#fleet.url.origin, nodeId: String(nodeId), again })
  }

  async #beat(): Promise<void> {
    if (!(await beat(this.#fleet, this.#nodeId, this.#parts.pace.heartbeat))) await this.#enter()
  }

  /** What an earlier process has left: replies to send, and instructions to work on. */
  async #goOn(): Promise<void> {
    for (const id of await this.#outbox.pending()) {
      await this.#inbox.remove(id)
      await this.#deliver(id)
    }
    for (const pulled of await this.#inbox.pending()) await this.#handle(pulled)
  }

  async #serve(): Promise<void> {
    const { idle, pace, emit } = this.#parts
    let last = performance.now()
    while (idle === undefined || performance.now() - last < 1000 * idle) {
      const pulled = await this.#pull()
      await this.#forget(pace.grace)
      if (pulled === undefined) {
        await pause(pace.poll * (0.9 + 0.2 * Math.random()), this.#signal)
        continue
      }
      const { messageId: id, dstNodeId } = pulled.metadata
      if (dstNodeId !== this.#nodeId) {
        emit({ type: 'warning', message: `message ${id} is for node ${dstNodeId}: left alone` })
        await pause(pace.poll, this.#signal)
        continue
      }
      await this.#inbox.add(pulled)
      await this.#handle(pulled)
      last = performance.now()
    }
    // Who left earlier would take replies along that the server's application has not fetched yet.
    while (this.#delivered.size > 0) {
      await pause(Math.min(1, pace.grace / 10), this.#signal)
      await this.#forget(pace.grace)
    }
  }

  async #pull(): Promise<Pulled | undefined> {
    return readPulled(await this.#fleet.call('pull-messages', { node: { nodeId: this.#nodeId } }))
  }

  /** A message that is on disk, as far as that is: fetched, confirmed, worked on, answered. */
  async #handle(pulled: Pulled): Promise<void> {
    const { metadata } = pulled
    const { messageId: id } = metadata
    const { work, maxBytes, emit } = this.#parts
    const answered = (await this.#outbox.pending()).includes(id)
    if (!(await this.#receive(pulled, answered || this.#outbox.wasAnswered(id)))) return
    if (!answered) {
      const lookup = await this.#inbox.objects(pulled)
      const done = await answer(
        () => readInstruction(lookup, pulled, maxBytes),
        pulled,
        work,
        this.#outbox,
        this.#signal,
      )
      const { about, bytes, seconds, error } = done
      if (error === undefined) emit({ type: 'reply', ...about, bytes, seconds, metrics: numbersOf(done.metrics) })
      else {
        this.#counts.refused++
        emit({ type: 'refused', ...about, code: error.code, message: error.message })
      }
      await this.#inbox.remove(id)
    }
    await this.#deliver(id)
  }

  /**
   * Has a message on disk and tells the server so.
   * @param known - it was answered before: only the server has not heard that it arrived.
   * @returns whether there is something to do.
   */
  async #receive(pulled: Pulled, known: boolean): Promise<boolean> {
    const { metadata } = pulled
    const { messageId: id, runId } = metadata
    const node = { nodeId: this.#nodeId }
    const drop = async (reason: string) => {
      await this.#inbox.remove(id)
      this.#drop(id, reason)
      return false
    }
    if (metadata.dstNodeId !== this.#nodeId) return await drop('it is for a node that this one was before')
    if (metadata.createdAt + metadata.ttl <= Date.now() / 1000) return await drop('it is too late for an answer')
    try {
      if (!known) {
        const fetch = (objectId: string) => this.#fetchObject(runId, objectId)
        const bytes = await this.#inbox.complete(pulled, this.#parts.maxBytes, fetch)
        this.#parts.emit({ type: 'instruction', ...aboutOf(metadata), bytes })
      }
      await this.#fleet.call('confirm-message-received', { node, runId, messageObjectId: id })
    } catch (error) {
      if (!(error instanceof FedloraError)) throw error
      const lost = error.code === 'E_HASH' || error.code === 'E_TOO_LARGE' || error.code === 'E_MISSING'
      if (!lost && ![400, 403, 500].some((status) => isRefusal(error, status))) throw error
      return await drop(error.message)
    }
    if (!this.#outbox.wasAnswered(id)) return true
    await this.#inbox.remove(id)
    return false
  }

  async #fetchObject(runId: bigint, objectId: string): Promise<Uint8Array> {
    const { pace } = this.#parts
    const node = { nodeId: this.#nodeId }
    for (let tries = 0; ; tries++) {
      const { found, available, content } = await this.#fleet.call('pull-object', { node, runId, objectId })
      if (found && available) return content
      if (!found) {
        throw new FedloraError('E_MISSING', `flower: the server does not have object ${objectId}`, { object: objectId })
      }
      const seconds = backOff(tries, pace)
      this.#tellWaiting('pull-object', seconds, `object ${objectId} is not there yet`)
      await pause(seconds, this.#signal)
    }
  }

  async #deliver(id: string): Promise<void> {
    const { pace, emit } = this.#parts
    const { node } = fleetMethods['push-messages'].request.decode(await this.#outbox.push(id))
    const own = node?.nodeId === this.#nodeId
    const { bytes, dropped } = own
      ? await deliver(this.#fleet, this.#outbox, id, pace, this.#signal)
      : { bytes: 0, dropped: 'it is of a node that this one was before' }
    if (dropped !== undefined) {
      await this.#outbox.remove(id)
      return this.#drop(id, dropped)
    }
    if (!this.#delivered.has(id)) this.#counts.delivered++
    this.#delivered.set(id, performance.now())
    emit({ type: 'delivered', id, bytes })
  }

  #drop(id: string, reason: string): void {
    this.#counts.dropped++
    this.#parts.emit({ type: 'dropped', id, reason })
  }

  /** Lets go of replies that the server has had for `grace` seconds. */
  async #forget(grace: number): Promise<void> {
    for (const [id, since] of this.#delivered) {
      if (performance.now() - since < 1000 * grace) continue
      await this.#outbox.remove(id)
      this.#delivered.delete(id)
    }
  }

  /** Tells the server that nobody is there until the next start. */
  async #leave(): Promise<void> {
    try {
      await this.#fleet.call('deactivate-node', { nodeId: this.#nodeId })
    } catch (error) {
      if (!(error instanceof FedloraError)) throw error // it will notice
    }
  }
}

function numbersOf(metrics: ReadonlyMap<string, unknown>): Record<string, number> {
  const scalars = [...metrics].filter(([, value]) => typeof value === 'number' || typeof value === 'bigint')
  return Object.fromEntries(scalars.map(([name, value]) => [name, Number(value)]))
}
