/** What the server makes of answers: the arithmetic of rounds, with its figures. It knows no journal, no clock and no network. */
import { native } from '../../native/load.js'
import type { Chosen } from '../algorithms/algorithm.js'
import { travelOf } from '../algorithms/defaults.js'
import type { BlobStore } from '../blobs/blob-store.js'
import { flopPerToken } from '../cost.js'
import type { RefusedAnswer, RoundEvent } from '../events.js'
import { type Counted, figuresOf } from '../figures.js'
import type { Manifest } from '../link/messages.js'
import type { FederationConfig } from '../options.js'
import type { Answer } from '../protocol/messages.js'
import { sizeOf } from '../protocol/secagg/messages.js'
import { lengthOf, type Space } from '../protocol/space.js'
import type { Kind } from '../ranks.js'
import { rateOf } from '../rate.js'
import { AdapterFile } from '../server/adapter-file.js'
import { Server } from '../server/server.js'
import type { AnswerFacts, Share } from '../server/shares.js'
import { decodeVector, encodeVector } from '../vector-message.js'
import type { Members } from './members.js'
import type { Privacy } from './privacy.js'
import type { Checkpoint } from './records.js'

/** What rounds are made over. */
export interface Ground {
  config: FederationConfig
  chosen: Chosen
  space: Space
  /** The adapter that the federation begins with. */
  initial: Float32Array
  members: Members
  /** Of a federation that hides clients. */
  privacy: Privacy | undefined
  /** Elements of the base's linear layers and head. */
  linearElements: number
  /** Names of those that could be asked in the round under way, ascending. */
  population(): readonly string[]
  /** Place of a client among them when it was asked. */
  placeOf(client: string): number
}

/** A round as it ended. */
export interface Outcome {
  /** Why it made no step; undefined: it made one. */
  abandoned: string | undefined
  event: RoundEvent
}

/** What of a round the journal knows. */
export interface RoundFacts {
  round: number
  /** Asked, and neither counted nor refused. */
  dropped: readonly string[]
  refused: readonly RefusedAnswer[]
  /** Why it is to end without a step. */
  abandon: string | undefined
  /** Since it began. */
  seconds: number
}

const bytesOfNumbers = ({ numbers }: AnswerFacts) =>
  8 * Object.values(numbers).reduce((sum, list) => sum + list.length, 0)

export class Aggregation {
  readonly server: Server
  readonly #ground: Ground
  readonly #adapters: AdapterFile
  #counted: Counted[] = []
  #down = { bytes: 0, raw: 0 }
  #seconds = 0

  private constructor(ground: Ground, server: Server, adapters: AdapterFile) {
    this.#ground = ground
    this.server = server
    this.#adapters = adapters
  }

  /** @param checkpoint - of the last round that ended, and its number. */
  static async open(
    ground: Ground,
    folders: readonly string[],
    blobs: BlobStore,
    checkpoint?: Checkpoint & { round: number },
  ) {
    const adapters = await AdapterFile.create(folders)
    try {
      const { config, chosen, space, initial, population, placeOf, privacy } = ground
      const hides = privacy && ({ privateSum: privacy.plan.sum, weighting: 'uniform' } as const)
      const server = new Server({
        chosen,
        config: { ...config, segments: config.upload.segments, ...hides },
        space,
        initial,
        population: () => population().length,
        placeOf,
        // What is averaged as it comes is not kept.
        adapters: chosen.algorithm.needs === 'all' ? adapters : undefined,
        folders,
        restored: checkpoint && { ...checkpoint, vectors: await readVectors(checkpoint, blobs) },
      })
      return new Aggregation(ground, server, adapters)
    } catch (error) {
      adapters.dispose()
      throw error
    }
  }

  get chosen(): Chosen {
    return this.#ground.chosen
  }

  /** The server's vectors and numbers after the last round. */
  async checkpoint(blobs: BlobStore): Promise<Checkpoint> {
    const { state, moments, downloads, numbers } = this.server
    const vectors: Checkpoint['vectors'] = {}
    for (const [name, values] of Object.entries({ ...state.vectors, ...moments, ...downloads })) {
      if (values.length > 0) vectors[name] = await blobs.put(encodeVector(values))
    }
    return { vectors, numbers: Object.fromEntries(Object.entries(numbers).map(([name, list]) => [name, [...list]])) }
  }

  /** A client's adapter: what it is like, and where its values lie. */
  kindOf(client: string): Kind {
    return this.#ground.members.kindOf(client, this.server.rankOf(client))
  }

  /** Space of a client's adapter. */
  spaceOf(client: string): Space {
    return this.kindOf(client).space
  }

  /** Learning rate of a client in a round. */
  rateOf(client: string, round: number): number {
    const { config, members } = this.#ground
    return rateOf(config, round, members.localOf(client).local.learningRate)
  }

  /** The round after the last begins: nobody is asked yet, and nothing has come. */
  async begin(): Promise<void> {
    await this.server.begin()
    this.#counted = []
    this.#down = { bytes: 0, raw: 0 }
    this.#seconds = 0
  }

  /**
   * Clients are asked in the round under way.
   * @param held - the round whose adapter each of them holds.
   * @returns the messages that they will be sent.
   */
  ask(round: number, asked: readonly string[], held: (client: string) => number | undefined): Set<Uint8Array> {
    const messages = new Set<Uint8Array>()
    for (const client of asked) {
      const { bytes, raw, vectors } = this.server.broadcast(this.spaceOf(client), round, held(client))
      for (const message of Object.values(vectors)) messages.add(message)
      this.#down.bytes += bytes
      this.#down.raw += raw
    }
    return messages
  }

  /** Bytes that an answer may have: twice what its vectors would have as float32, and some for what goes beside. */
  mostBytes(client: string, round: number): number {
    const travels = Object.values(travelOf(this.chosen, { space: this.spaceOf(client), round }))
    const own = travels.reduce((sum, ranges) => sum + lengthOf(ranges), 0)
    const beside = Object.values(this.server.state.vectors).reduce((sum, { length }) => sum + length, 0)
    return 2 * 4 * (own + beside) + 65536
  }

  /**
   * The vectors of an answer that may count.
   * @throws FedloraError as `Server.screen`, for one that may not.
   */
  screen(answer: Answer) {
    return this.server.screen(answer, this.spaceOf(answer.client))
  }

  /** Adds an answer that counts. @param scale - what its update is scaled by; its weight stays. */
  async add(answer: Answer, vectors = this.screen(answer), scale = 1): Promise<void> {
    const started = performance.now()
    await this.server.accept(answer, this.spaceOf(answer.client), undefined, vectors, scale)
    const { vectors: sent, masked } = answer
    const bytes = Object.values(sent).reduce((sum, message) => sum + message.length, 0)
    const names = masked?.vectors.map(([name]) => name) ?? Object.keys(sent)
    this.#count(answer, names, bytes + (masked === undefined ? 0 : sizeOf(masked.message)))
    this.#seconds += (performance.now() - started) / 1000
  }

  /** What whoever screens and sums an answer elsewhere must know of it. */
  shareOf({ answer, vectors }: Manifest): Share {
    return this.server.shareOf(answer, Object.keys(vectors), this.spaceOf(answer.client))
  }

  /** Adds answers that count and were summed elsewhere. @throws FedloraError as `Server.acceptSummed`. */
  addSummed(manifests: readonly Manifest[], sums: Readonly<Record<string, Uint8Array>>): void {
    const started = performance.now()
    const shared = manifests.map((manifest) => {
      const { answer } = manifest
      return { answer, space: this.spaceOf(answer.client), share: this.shareOf(manifest) }
    })
    this.server.acceptSummed(shared, sums)
    for (const { answer, vectors, blob } of manifests) this.#count(answer, Object.keys(vectors), blob?.bytes ?? 0)
    this.#seconds += (performance.now() - started) / 1000
  }

  /** @param names - of the vectors that it brought, in `bytes`. */
  #count(answer: AnswerFacts, names: readonly string[], bytes: number): void {
    const { client, rows, loss, steps, tokens } = answer
    const numbers = bytesOfNumbers(answer)
    const bytesUpRaw = names.reduce((sum, name) => sum + 4 * this.#lengthOf(name, answer), numbers)
    const staleness = this.server.round + 1 - answer.round
    const report = { client: this.#placeOf(client), name: client, rows, loss, steps, tokens, bytesUp: bytes + numbers }
    const stale = this.#ground.config.asynchronous && { staleness }
    this.#counted.push({ ...report, bytesUpRaw, ...stale })
  }

  /** Values of a vector whole, of which an answer may bring a part. */
  #lengthOf(name: string, { client, round }: AnswerFacts): number {
    const ranges = travelOf(this.chosen, { space: this.spaceOf(client), round })[name]
    return ranges === undefined ? (this.server.state.vectors[name]?.length ?? 0) : lengthOf(ranges)
  }

  #placeOf(client: string): number {
    return this.#ground.population().indexOf(client)
  }

  /** The round ends: what has come becomes the next state, unless it is to be abandoned. */
  async finish({ round, dropped, refused, abandon, seconds: total }: RoundFacts): Promise<Outcome> {
    const { config, space, linearElements, privacy } = this.#ground
    const { clip } = this.server
    const started = performance.now()
    const learningRate = rateOf(config, round, config.local.learningRate)
    const { measurements, means, selected, abandoned } = await this.server.finish(round, learningRate, abandon)
    const reports = this.#counted.sort((a, b) => a.client - b.client)
    const protocol = this.server.masked?.report
    const down = { ...this.#down, bytes: this.#down.bytes + (protocol?.bytesDown ?? 0) }
    const figures = figuresOf(reports, down, means, protocol?.bytesUp)
    const aggregate = this.#seconds + (performance.now() - started) / 1000
    const places = (names: readonly string[]) => names.map((name) => this.#placeOf(name)).sort((a, b) => a - b)
    const event: RoundEvent = {
      type: 'round',
      round,
      rounds: config.rounds,
      learningRate,
      clients: reports.map(({ bytesUpRaw: _, ...report }) => report),
      dropped: places(dropped),
      ...(refused.length > 0 && { refused: [...refused] }),
      ...figures,
      flop: figures.tokens * flopPerToken(linearElements, space.length),
      cosine: null,
      aggregationError: null,
      measurements,
      ...(selected !== undefined && { selected: places(selected) }),
      ...(privacy && { privacy: privacy.budget.report(clip) }),
      ...(protocol && { secureAggregation: protocol }),
      ...(abandoned !== undefined && { abandoned }),
      seconds: { train: 0, encode: 0, aggregate, total },
      tokensPerSecond: total > 0 ? figures.tokens / total : 0,
      peakBytes: native().processMemory().peakBytes,
    }
    return { abandoned, event }
  }

  dispose(): void {
    this.server.dispose()
    this.#adapters.dispose()
  }
}

async function readVectors({ vectors }: Checkpoint, blobs: BlobStore): Promise<Record<string, Float32Array>> {
  const read: Record<string, Float32Array> = {}
  for (const [name, { blob }] of Object.entries(vectors)) read[name] = decodeVector(await blobs.read(blob))
  return read
}
