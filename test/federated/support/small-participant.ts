/** A client of a federation between machines, in few lines: the work of `simulate`, its answer through a link. What it keeps is in memory. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dataset } from '../../../src/data/index.js'
import { chooseAlgorithm } from '../../../src/federated/algorithms/index.js'
import { OwnState } from '../../../src/federated/client/own-state.js'
import { workOn } from '../../../src/federated/client/work.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import type { Description, Known, Manifest, Notice } from '../../../src/federated/link/messages.js'
import { federationSchema } from '../../../src/federated/options.js'
import type { Answer, Task } from '../../../src/federated/protocol/messages.js'
import { spaceOf } from '../../../src/federated/protocol/space.js'
import { decodeVector } from '../../../src/federated/vector-message.js'
import { adapterLayers, parseAdapterOptions } from '../../../src/model/adapter-options.js'
import type { Model } from '../../../src/model/model.js'
import { alone } from '../../../src/training/stepper.js'

const never = new AbortController().signal

/** What an answer's vectors are in one blob, and the manifest that says so. */
export function packed(run: string, answer: Answer): { manifest: Manifest; bytes: Buffer } {
  const { vectors, masked: _, ...rest } = answer
  const names = Object.keys(vectors).sort()
  const bytes = Buffer.concat(names.map((name) => vectors[name]!))
  const blob = { blob: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length }
  const sizes = Object.fromEntries(names.map((name) => [name, vectors[name]!.length]))
  return { manifest: { run, answer: rest, vectors: sizes, blob: names.length === 0 ? null : blob }, bytes }
}

export class SmallParticipant {
  readonly name: string
  readonly link: ClientLink
  readonly known: Known = { settled: 0, working: null, heard: 0 }
  readonly #model: Model
  readonly #data: Dataset
  #folder = ''
  #own: OwnState | undefined
  description: Description | undefined

  constructor(name: string, link: ClientLink, model: Model, data: Dataset) {
    this.name = name
    this.link = link
    this.#model = model
    this.#data = data
  }

  async open(): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), 'fedlora-participant-'))
    this.#own = await OwnState.open(join(this.#folder, 'own'))
    this.description = await this.link.describe(never)
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Bytes of a blob. */
  async #fetch(ref: { blob: string; bytes: number }): Promise<Uint8Array> {
    const path = join(this.#folder, ref.blob)
    await this.link.download(ref, path, never)
    return await readFile(path)
  }

  /** The answer to a notice of work, trained. */
  async work(notice: Notice & { type: 'work' }): Promise<{ manifest: Manifest; path: string }> {
    const { federation, adapter, initial, run } = this.description!
    const config = federationSchema.parse(federation)
    const chosen = chooseAlgorithm(config.algorithm)
    const options = parseAdapterOptions((notice.adapter ?? adapter.config) as never)
    const vectors: Record<string, Uint8Array> = {}
    for (const [name, ref] of Object.entries(notice.offer.vectors)) vectors[name] = await this.#fetch(ref)
    const task: Task = { ...notice.offer, vectors }
    using place = this.#model.createAdapter(options)
    const space = spaceOf(place.layout, adapterLayers(place.config, place.targets))
    const { answer } = await workOn(task, {
      chosen,
      space,
      initial: decodeVector(await this.#fetch(initial)),
      data: this.#data,
      adapter: place,
      local: (notice.local as never) ?? config.local,
      upload: config.upload,
      download: config.download,
      outgoing: [],
      own: this.#own,
      stepper: alone,
      signal: never,
      inTurn: (work) => work(),
    })
    const { manifest, bytes } = packed(run, answer)
    const path = join(this.#folder, 'update')
    await writeFile(path, bytes)
    return { manifest, path }
  }

  /** Does what a notice says; false: the federation is over. */
  async act(notice: Notice): Promise<boolean> {
    switch (notice.type) {
      case 'over':
        return false
      case 'outcome':
        await (notice.counted ? this.#own!.endRound() : this.#own!.dropRound())
        this.known.settled = notice.round
        this.known.working = null
        return true
      case 'work': {
        const { manifest, path } = await this.work(notice)
        if (manifest.blob !== null) await this.link.upload(manifest.blob, path, never)
        await this.link.say({ type: 'answer', round: notice.round, manifest }, never)
        this.known.working = notice.round
        return true
      }
      default:
        return true
    }
  }

  /** Takes part until the federation is over. */
  async run(signal: AbortSignal = never): Promise<void> {
    for (;;) {
      const notice = await this.link.next(this.known, signal)
      if (signal.aborted) return
      if (notice !== undefined && !(await this.act(notice))) return
    }
  }
}
