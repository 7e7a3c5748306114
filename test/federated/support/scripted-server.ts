/**
 * A server that asks one client for work round after round, by script: what a client can see of a federation, without one. It keeps everything that
 * it was told, and says what it must never be told.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { FedloraError } from '../../../src/errors.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import {
  type Description,
  descriptionSchema,
  type Known,
  knownSchema,
  type Manifest,
  type Notice,
  noticeSchema,
  type Reply,
  type Word,
  wordSchema,
} from '../../../src/federated/link/messages.js'
import { encodeVector } from '../../../src/federated/vector-message.js'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export interface Script {
  rounds: number
  /** Rounds whose answers do not count; default: all count. */
  lost?: readonly number[]
}

export class ScriptedServer {
  readonly run = randomBytes(16).toString('hex')
  readonly name = 'a'
  readonly blobs = new Map<string, Uint8Array>()
  /** Answers that were taken, and their bytes, by round. */
  readonly answers = new Map<number, { manifest: Manifest; bytes: Uint8Array }>()
  /** Rounds that the client has declined, or failed. */
  readonly refusals: Extract<Word, { type: 'declined' | 'failed' }>[] = []
  readonly words: Word[] = []
  /** What went wrong by the client's fault. */
  readonly faults: string[] = []
  readonly #script: Script
  readonly #offered = new Set<number>()

  constructor(script: Script) {
    this.#script = script
  }

  get description(): Description {
    return descriptionSchema.parse({
      protocol: 1,
      run: this.run,
      name: 'scripted',
      federation: { rounds: this.#script.rounds },
      model: { name: 'none', config: '', weights: '', options: {} },
      adapter: { config: {}, targets: [], length: 4 },
      data: {},
      initial: this.#store(encodeVector(new Float32Array(4))),
    })
  }

  #store(bytes: Uint8Array): { blob: string; bytes: number } {
    const blob = sha256(bytes)
    this.blobs.set(blob, bytes)
    return { blob, bytes: bytes.length }
  }

  #counts = (round: number) => this.answers.has(round) && !(this.#script.lost ?? []).includes(round)

  /** The first round that is neither answered nor refused. */
  #open(): number {
    for (let round = 1; round <= this.#script.rounds; round++) {
      if (!this.answers.has(round) && !this.refusals.some((word) => word.round === round)) return round
    }
    return this.#script.rounds + 1
  }

  #next({ settled, working }: Known): Notice | undefined {
    const open = this.#open()
    if (working !== null && working < open) return { type: 'outcome', round: working, counted: this.#counts(working) }
    // A client that has forgotten what counted would keep another state than the server believes.
    for (let round = settled + 1; round < open; round++) {
      if (working === null && this.#counts(round)) this.faults.push(`the outcome of round ${round} was never kept`)
    }
    if (open > this.#script.rounds) return { type: 'over', round: this.#script.rounds }
    if (working === open) return undefined
    this.#offered.add(open)
    const adapter = this.#store(encodeVector(Float32Array.of(open, open / 2, -open, 1)))
    const offer = {
      version: 1,
      round: open,
      rounds: this.#script.rounds,
      client: this.name,
      algorithm: 'fedavg',
      learningRate: 0.1,
      seed: 1,
      vectors: { adapter },
      numbers: {},
    }
    return noticeSchema.parse({ type: 'work', round: open, offer, deadline: null })
  }

  #say(word: Word): Reply {
    this.words.push(word)
    if (word.type === 'declined' || word.type === 'failed') {
      if (!this.refusals.some(({ round }) => round === word.round)) this.refusals.push(word)
    }
    if (word.type !== 'answer') return { type: 'taken' }
    const { round, manifest } = word
    if (!this.#offered.has(round)) this.faults.push(`round ${round} was never asked for`)
    const known = this.answers.get(round)
    if (known !== undefined) {
      if (JSON.stringify(known.manifest) === JSON.stringify(manifest)) return { type: 'taken' }
      this.faults.push(`round ${round} was answered twice, and not alike`)
      return { type: 'refused', code: 'E_ALREADY_COUNTED', why: 'another answer counts' }
    }
    const bytes = manifest.blob === null ? new Uint8Array() : this.blobs.get(manifest.blob.blob)
    if (bytes === undefined) throw new FedloraError('E_BLOB_MISSING', 'the blob is not there')
    this.answers.set(round, { manifest, bytes })
    return { type: 'taken' }
  }

  /** @param point - told before and after each call has had its effect. */
  link(point: (name: string) => void = () => {}): ClientLink {
    const call = async <R>(name: string, effect: () => R | Promise<R>): Promise<R> => {
      point(`${name} asked`)
      const result = await effect()
      point(`${name} done`)
      return result
    }
    return {
      describe: () => call('describe', () => this.description),
      next: (known) => call('next', () => this.#next(knownSchema.parse(known))),
      say: (word) => call(`say ${word.type}`, () => this.#say(wordSchema.parse(JSON.parse(JSON.stringify(word))))),
      download: ({ blob }, path) =>
        call('download', async () => {
          const bytes = this.blobs.get(blob)
          if (bytes === undefined) throw new FedloraError('E_BLOB_MISSING', 'no such blob')
          await writeFile(path, bytes)
        }),
      upload: ({ blob }, path) =>
        call('upload', async () => {
          const bytes = await readFile(path)
          if (sha256(bytes) !== blob) throw new FedloraError('E_HASH', 'these are other bytes')
          this.blobs.set(blob, bytes)
        }),
      close: async () => {},
    }
  }
}
