/** A server that asks all its clients in every round for masked updates, and adds them: secure aggregation over links, without a federation behind it. */
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { FedloraError } from '../../../src/errors.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import {
  type Description,
  type Known,
  type Notice,
  noticeSchema,
  type Reply,
  type Word,
  wordSchema,
} from '../../../src/federated/link/messages.js'
import { unpack } from '../../../src/federated/link/packed.js'
import { messageIn, messageText, secureOf } from '../../../src/federated/link/secure.js'
import { identityOf } from '../../../src/federated/protocol/secagg/keys.js'
import type { ToClient } from '../../../src/federated/protocol/secagg/messages.js'
import { MaskedSum } from '../../../src/federated/server/masked-sum.js'
import { encodeVector } from '../../../src/federated/vector-message.js'

const terms = { neighbours: 2, threshold: 2, clip: 8, bits: 16, wordBytes: 4 as const, mostWeight: 8 }

/** A round as it goes on. */
interface Round {
  sum: MaskedSum
  /** What each client was told, in order. */
  told: Map<string, ToClient[]>
  /** Who has said what is waited for now. */
  said: Set<string>
  /** Every word by its text, so that one that is repeated changes nothing, and another is a fault. */
  words: Map<string, string>
  mean?: Float32Array | string
}

export class SecureServer {
  readonly run = randomBytes(16).toString('hex')
  readonly names: readonly string[]
  readonly #keys: readonly Uint8Array[]
  readonly #rounds: Round[] = []
  readonly #most: number
  readonly #blobs = new Map<string, Uint8Array>()
  /** What went wrong by a client's fault. */
  readonly faults: string[] = []
  /** Changes what a client is told. */
  lie: (client: string, message: ToClient) => ToClient = (_, message) => message

  constructor(names: readonly string[], rounds: number) {
    this.names = names
    this.#most = rounds
    this.#keys = names.map(() => new Uint8Array(randomBytes(32)))
    this.#begin()
  }

  /** Means of the rounds, or why there is none. */
  get means(): (Float32Array | string | undefined)[] {
    return this.#rounds.map(({ mean }) => mean)
  }

  identity(client: string): Uint8Array {
    return this.#keys[this.names.indexOf(client)]!
  }

  get #setup() {
    const round = new Uint8Array(
      createHash('sha256').update(`${this.run} ${this.#rounds.length}`).digest().subarray(0, 16),
    )
    return {
      ...terms,
      run: new Uint8Array(Buffer.from(this.run, 'hex')),
      round,
      identities: this.#keys.map(identityOf),
    }
  }

  #begin(): void {
    const round: Round = {
      sum: new MaskedSum(),
      told: new Map(this.names.map((name) => [name, []])),
      said: new Set(),
      words: new Map(),
    }
    this.#rounds.push(round)
    round.sum.open(this.#setup, this.names)
  }

  get #round(): Round {
    return this.#rounds.at(-1)!
  }

  /** All have said what is waited for: the phase ends, and they are told. */
  #advance(): void {
    const { sum, told, said } = this.#round
    said.clear()
    if (sum.phase === 'revealed') {
      const lacks = sum.lacks()
      this.#round.mean = lacks ?? sum.mean('adapter')!.slice()
      return
    }
    for (const message of sum.close()) {
      const name = this.names[message.client]!
      told.get(name)!.push(this.lie(name, message))
    }
  }

  #word(client: string, word: Word): Reply {
    const current = this.#rounds.length
    if (word.type === 'working') return { type: 'taken' }
    if (word.round !== current) return { type: 'refused', code: 'E_ROUND_CLOSED', why: 'it is over' }
    const round = this.#round
    if (word.type === 'failed' || word.type === 'declined') {
      round.mean = `${client} ${word.type}: ${word.code}`
      return { type: 'taken' }
    }
    if (word.type === 'answer' && word.manifest.blob !== null && !this.#blobs.has(word.manifest.blob.blob)) {
      throw new FedloraError('E_BLOB_MISSING', 'the blob is not there')
    }
    const what = word.type === 'secure' ? (messageIn(word.message) as { type: string }).type : 'masked'
    const text = JSON.stringify(word)
    const known = round.words.get(`${client} ${what}`)
    if (known !== undefined) {
      if (known !== text) this.faults.push(`${client} said '${what}' twice in round ${current}, and not alike`)
      return { type: 'taken' }
    }
    round.words.set(`${client} ${what}`, text)
    if (word.type === 'answer') {
      const { blob, masked } = word.manifest
      round.sum.take(client, { vectors: masked!, message: unpack(this.#blobs.get(blob!.blob)!) as never })
    } else round.sum.hear(client, messageIn(word.message))
    round.said.add(client)
    if (round.said.size === this.names.length) this.#advance()
    return { type: 'taken' }
  }

  #notice(client: string, { working, heard }: Known): unknown {
    const current = this.#rounds.length
    const { mean, told } = this.#round
    if (working === null) {
      if (mean !== undefined && current === this.#most) return { type: 'over', round: current }
      if (mean !== undefined) this.#begin()
      return this.#work(client)
    }
    const ended = this.#rounds[working - 1]!.mean
    if (ended !== undefined) return { type: 'outcome', round: working, counted: typeof ended !== 'string' }
    const message = told.get(client)![heard]
    return message && { type: 'secure', round: working, number: heard + 1, message: messageText(message) }
  }

  #work(client: string): unknown {
    const round = this.#rounds.length
    const bytes = encodeVector(Float32Array.of(round, this.names.indexOf(client), -1, 0.5))
    const blob = createHash('sha256').update(bytes).digest('hex')
    this.#blobs.set(blob, bytes)
    const task = {
      version: 1,
      round,
      rounds: this.#most,
      client,
      algorithm: 'fedavg',
      learningRate: 0.1,
      seed: 1,
      numbers: {},
    }
    const offer = { ...task, vectors: { adapter: { blob, bytes: bytes.length } } }
    const secure = secureOf(this.#setup, this.names.indexOf(client))
    return { type: 'work', round, offer, deadline: null, secure }
  }

  link(client: string): ClientLink {
    return {
      identity: this.identity(client),
      describe: async () =>
        ({ run: this.run, name: 'secure', federation: { rounds: this.#most } }) as unknown as Description,
      next: async (known) => {
        await new Promise((resolve) => setTimeout(resolve, 1))
        const notice = this.#notice(client, known)
        return notice === undefined ? undefined : (noticeSchema.parse(JSON.parse(JSON.stringify(notice))) as Notice)
      },
      say: async (word) => this.#word(client, wordSchema.parse(JSON.parse(JSON.stringify(word)))),
      download: async ({ blob }, path) => await writeFile(path, this.#blobs.get(blob)!),
      upload: async ({ blob }, path) => {
        this.#blobs.set(blob, await readFile(path))
      },
      close: async () => {},
    }
  }
}
