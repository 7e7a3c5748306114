/** A client of a federation between machines in few lines, for tests of servers and links. What it keeps is nothing; its work is given. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dataset } from '../../../src/data/index.js'
import { FedloraError, isFedloraError } from '../../../src/errors.js'
import { chooseAlgorithm } from '../../../src/federated/algorithms/index.js'
import type { OwnState } from '../../../src/federated/client/own-state.js'
import { workOn } from '../../../src/federated/client/work.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import type { Description, Known, Manifest, Notice, Reply } from '../../../src/federated/link/messages.js'
import { retrying } from '../../../src/federated/link/retry.js'
import { federationSchema } from '../../../src/federated/options.js'
import { type Answer, messageVersion, type Task } from '../../../src/federated/protocol/messages.js'
import { spaceOf } from '../../../src/federated/protocol/space.js'
import { decodeVector, encodeVector } from '../../../src/federated/vector-message.js'
import { adapterLayers, parseAdapterOptions } from '../../../src/model/adapter-options.js'
import type { Model } from '../../../src/model/model.js'
import { Random } from '../../../src/random/random.js'
import { alone } from '../../../src/training/stepper.js'

/** Makes the answer to a task. */
export type SmallWork = (task: Task, about: { description: Description; initial: Float32Array }) => Promise<Answer>

/** What an answer's vectors are in one blob, and the manifest that says so. */
export function packed(run: string, answer: Answer): { manifest: Manifest; bytes: Buffer } {
  const { vectors, masked: _, ...rest } = answer
  const names = Object.keys(vectors).sort()
  const bytes = Buffer.concat(names.map((name) => vectors[name]!))
  const blob = { blob: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length }
  const sizes = Object.fromEntries(names.map((name) => [name, vectors[name]!.length]))
  return { manifest: { run, answer: rest, vectors: sizes, blob: names.length === 0 ? null : blob }, bytes }
}

/** Trains, as a client of `simulate` does; `own`: what it keeps. */
export const trains =
  (model: Model, data: Dataset, own?: OwnState): SmallWork =>
  async (task, { description, initial }) => {
    const config = federationSchema.parse(description.federation)
    using place = model.createAdapter(parseAdapterOptions(description.adapter.config))
    const { answer } = await workOn(task, {
      chosen: chooseAlgorithm(config.algorithm),
      space: spaceOf(place.layout, adapterLayers(place.config, place.targets)),
      initial,
      data,
      adapter: place,
      local: config.local,
      upload: config.upload,
      download: config.download,
      outgoing: [],
      own,
      stepper: alone,
      signal: new AbortController().signal,
      inTurn: (work) => work(),
    })
    return answer
  }

/** Moves what it was sent by draws of its own: the same for the same name and round, and another one when it was sent something else. */
export const drifts = async ({ client, round, vectors }: Task): Promise<Answer> => {
  const from = decodeVector(vectors.adapter!)
  const salt = createHash('sha256').update(client).digest().readUInt16LE(0)
  const draw = new Random(salt, round)
  const update = from.map((value) => 0.1 * (draw.uniform() - 0.5) - 0.05 * value)
  const answer = {
    version: messageVersion,
    round,
    client,
    rows: 1 + (salt % 9),
    steps: 2,
    tokens: 7,
    loss: draw.uniform(),
  } as const
  return { ...answer, vectors: { adapter: encodeVector(update) }, numbers: {} }
}

export class SmallParticipant {
  readonly name: string
  readonly link: ClientLink
  readonly known: Known = { settled: 0, working: null, heard: 0 }
  readonly #work: SmallWork
  #folder = ''
  #initial!: Float32Array
  description!: Description
  /** What it was told of its answers, by round. */
  readonly replies = new Map<number, Reply>()
  readonly outcomes: Extract<Notice, { type: 'outcome' }>[] = []

  constructor(name: string, link: ClientLink, work: SmallWork) {
    this.name = name
    this.link = link
    this.#work = work
  }

  /** Calls until it succeeds. */
  async ask<R>(call: (signal: AbortSignal) => Promise<R>, signal = new AbortController().signal): Promise<R> {
    const time = { now: () => 0, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) }
    return await retrying(() => call(signal), { signal, time, random: () => 0 })
  }

  async open(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), 'fedlora-participant-'))
    this.description = await this.ask((signal) => this.link.describe(signal))
    this.#initial = decodeVector(await this.fetch(this.description.initial))
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
    await this.link.close()
  }

  /** Bytes of a blob of the server. */
  async fetch(ref: { blob: string; bytes: number }): Promise<Uint8Array> {
    const path = join(this.#folder, ref.blob)
    await this.ask((signal) => this.link.download(ref, path, signal))
    return await readFile(path)
  }

  /** The answer to a notice of work, and where its bytes lie. */
  async work({ offer }: Notice & { type: 'work' }): Promise<{ manifest: Manifest; path: string }> {
    const vectors: Record<string, Uint8Array> = {}
    for (const [name, ref] of Object.entries(offer.vectors)) vectors[name] = await this.fetch(ref)
    return await this.prepare(
      await this.#work({ ...offer, vectors }, { description: this.description, initial: this.#initial }),
    )
  }

  async prepare(answer: Answer): Promise<{ manifest: Manifest; path: string }> {
    const { manifest, bytes } = packed(this.description.run, answer)
    const path = join(this.#folder, 'update')
    await writeFile(path, bytes)
    return { manifest, path }
  }

  /** Sends an answer, twice where it is asked to. */
  async answer(round: number, { manifest, path }: { manifest: Manifest; path: string }): Promise<Reply> {
    const { blob } = manifest
    // A round that has closed with this answer takes no bytes of it any more; what is said again is still known.
    const closed = (error: unknown) => {
      if (!isFedloraError(error, 'E_ROUND_CLOSED')) throw error
    }
    // As the package's participant: what the server has lost is sent again.
    const lost = (error: unknown) => {
      if (!isFedloraError(error, 'E_BLOB_MISSING')) throw error
      throw new FedloraError('E_UPLOAD_OFFSET', error.message, { offset: 0 })
    }
    const reply = await this.ask(async (signal) => {
      if (blob !== null) await this.link.upload(blob, path, signal).catch(closed)
      return await this.link.say({ type: 'answer', round, manifest }, signal).catch(lost)
    })
    this.replies.set(round, reply)
    return reply
  }

  /** Does what a notice says; false: the federation is over. */
  async act(notice: Notice): Promise<boolean> {
    if (notice.type === 'over') return false
    if (notice.type === 'outcome') {
      this.outcomes.push(notice)
      this.known.settled = notice.round
      this.known.working = null
    }
    if (notice.type === 'work') {
      // What it is given may be out of date before it is here: then there is newer work.
      const work = await this.work(notice).catch((error: unknown) => {
        if (!isFedloraError(error, 'E_BLOB_MISSING')) throw error
      })
      if (work === undefined) return true
      await this.answer(notice.round, work)
      this.known.working = notice.round
    }
    return true
  }

  /** Takes part until the federation is over, or `signal` fires. */
  async run(signal = new AbortController().signal): Promise<void> {
    while (!signal.aborted) {
      const notice = await this.ask((inner) => this.link.next(this.known, inner), signal)
      if (notice !== undefined && !(await this.act(notice))) return
    }
  }
}
