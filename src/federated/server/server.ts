/**
 * The server of a federation: what it remembers from round to round, what it sends, takes and makes of it. It knows no model, no rows and
 * no network: tasks go out and answers come in as plain values.
 */
import { FedloraError } from '../../errors.js'
import type {
  Answered,
  Chosen,
  ClientAdapters,
  Closing,
  Numbers,
  Residual,
  ServerState,
  Travel,
  Vectors,
} from '../algorithms/algorithm.js'
import { addUpdates, finishOf, travelOf, weightOf } from '../algorithms/defaults.js'
import { residualFor } from '../algorithms/residual.js'
import { scaled } from '../algorithms/vectors.js'
import { type Answer, messageVersion, type Task } from '../protocol/messages.js'
import { fitRanks, type Space } from '../protocol/space.js'
import type { Moments } from '../server-step/rule.js'
import { createServerOptimizer, type ServerOptimizer } from '../server-step/step.js'
import { type Broadcast, Broadcaster } from './broadcast.js'
import type { Collector } from './collect.js'
import { createCollector } from './collectors.js'
import type { ServerConfig } from './config.js'
import { Deltas } from './deltas.js'
import { MaskedSum } from './masked-sum.js'
import { screen } from './screen.js'
import { type ChosenPart, Shapes } from './shapes.js'
import { type AnswerFacts, expectedSums, type Share } from './shares.js'

/** Where the clients' adapters of a round are kept until it ends. */
export interface AdapterStore extends ClientAdapters {
  add(client: string, adapter: Float32Array): Promise<void>
  /** A round begins. */
  reset(): Promise<void>
}

/** A server as a checkpoint has it. */
export interface Restored {
  round: number
  vectors: Readonly<Record<string, Float32Array>>
  numbers: Readonly<Record<string, number[]>>
}

export interface ServerParts {
  chosen: Chosen
  config: ServerConfig
  space: Space
  /** The adapter that the federation begins with. */
  initial: Float32Array
  /** Clients of the federation; a function where they come and go. */
  population: number | (() => number)
  /** Where every client's adapter is kept; absent: none is, and an algorithm that needs all of them is refused. */
  adapters?: AdapterStore | undefined
  restored?: Restored | undefined
  /** Place of a client's name among all names in ascending order; needed where clients send parts by turn. */
  placeOf?: ((client: string) => number) | undefined
  /** Where files without a name may lie; default: the system's for temporary files. */
  folders?: readonly string[]
  /** Makes the collector from what it remembered; default: the one that the options ask for. */
  collector?: ((kept: Numbers) => Collector) | undefined
}

/** What a round came to. */
export interface Closed {
  /** Means of the adapter's updates that were averaged, by name; until the next round. */
  means: Vectors
  answers: readonly Answered[]
  measurements: Record<string, number>
  /** The clients whose updates a robust rule selected, when it selects. */
  selected?: readonly string[]
  /** Why the answers made no step and the state is that of the round before; absent when they made one. */
  abandoned?: string
}

/** Names of the optimiser's moments among the vectors of a checkpoint. */
const momentNames = ['moment1', 'moment2'] as const

/** @throws FedloraError `E_CONFIG` for options that would make another algorithm of this one. */
function checkFits({ name, weighting, serverOptimizer = true }: Chosen['algorithm'], config: ServerConfig): void {
  if (config.weighting !== undefined && weighting !== undefined && config.weighting !== weighting) {
    const message = `weighting: got '${config.weighting}', but algorithm ${name} is right with '${weighting}' only; leave weighting out`
    throw new FedloraError('E_CONFIG', message, { weighting: config.weighting, algorithm: name })
  }
  const { name: rule, learningRate = 1 } = config.serverOptimizer
  if (serverOptimizer || (rule === 'none' && learningRate === 1)) return
  const message = `serverOptimizer: got ${rule} with rate ${learningRate}, but algorithm ${name} has a step of its own; leave serverOptimizer out`
  throw new FedloraError('E_CONFIG', message, { serverOptimizer: rule, algorithm: name })
}

/** Where a checkpoint's numbers have the optimiser's steps, when its rule counts them. */
const stepsName = 'optimizerSteps'
/** Before the names of what a collector remembers, among the numbers of a checkpoint. */
const collectorPrefix = 'collector.'

const collectorNumbers = (numbers: Numbers): Numbers =>
  Object.fromEntries(
    Object.entries(numbers).flatMap(([name, list]) =>
      name.startsWith(collectorPrefix) ? [[name.slice(collectorPrefix.length), list]] : [],
    ),
  )

export class Server {
  readonly space: Space
  readonly state: ServerState
  /** Rounds done. */
  round = 0
  /** False while a round's sums become the next state, and after that failed: what it holds is then of no round. */
  whole = true
  readonly #parts: ServerParts
  readonly #optimizer: ServerOptimizer
  readonly #broadcaster: Broadcaster
  readonly #collector: Collector
  readonly #initial = new Map<Space, Float32Array>()
  readonly #shapes: Shapes
  #answers: Answered[] = []

  /** @throws FedloraError `E_SHAPE` when moments of another rule are restored; `E_CONFIG` for options that the algorithm excludes. */
  constructor(parts: ServerParts) {
    const { chosen, config, space, initial, restored } = parts
    const { algorithm, options } = chosen
    checkFits(algorithm, config)
    this.#parts = parts
    this.space = space
    const fresh = algorithm.state?.({ space, seed: config.seed, adapter: initial }, options)
    this.state = {
      vectors: { ...fresh?.vectors, adapter: initial.slice() },
      numbers: { ...fresh?.numbers },
    }
    if (restored !== undefined) this.#restore(restored)
    const { moment1 = new Float32Array(0), moment2 = new Float32Array(0) } = restored?.vectors ?? {}
    const steps = restored?.numbers[stepsName]?.[0] ?? 0
    this.#shapes = new Shapes(parts)
    const remembered = collectorNumbers(restored?.numbers ?? {})
    this.#collector =
      parts.collector?.(remembered) ??
      createCollector(config, remembered, {
        segments: config.segments ?? 1,
        segmentOf: (client, round) => this.#shapes.segmentOf(client, round)!,
        folders: parts.folders ?? [],
        lengthOf: (name) => this.#shapes.travelLength(name, this.round + 1),
        choiceOf: (name) => this.#choiceOf(name),
      })
    const kept = restored && { moment1, moment2, steps }
    this.#optimizer = createServerOptimizer(config.serverOptimizer, initial.length, kept)
    this.#broadcaster = new Broadcaster({ chosen, download: config.download, seed: config.seed }, restored?.vectors)
  }

  #restore({ round, vectors, numbers }: Restored): void {
    this.round = round
    for (const [name, values] of Object.entries(vectors)) {
      const isOthers = (momentNames as readonly string[]).includes(name) || Deltas.owns(name)
      if (!isOthers) this.state.vectors[name] = values.slice()
    }
    for (const [name, list] of Object.entries(numbers)) {
      if (name !== stepsName && !name.startsWith(collectorPrefix)) this.state.numbers[name] = list
    }
  }

  get adapter(): Float32Array {
    return this.state.vectors.adapter!
  }

  /** The adapter that the federation has come to. */
  get result(): Float32Array {
    const { algorithm, options } = this.#parts.chosen
    return algorithm.result?.(this.state, options) ?? this.adapter
  }

  /** The frozen factors beside it, in the scales of its space; undefined when there are none. */
  get residual(): Residual | undefined {
    return residualFor(this.state, this.space)
  }

  /** Rank of a client's adapter from now on; undefined: as it was at first. */
  rankOf(client: string): number | undefined {
    const { algorithm } = this.#parts.chosen
    return algorithm.rankOf?.(this.state, client)
  }

  /** The optimiser's live moments. */
  get moments(): Moments {
    const { moment1, moment2 } = this.#optimizer.state
    return { moment1, moment2 }
  }

  /** The numbers of a checkpoint: the algorithm's, the optimiser's, and the collector's. */
  get numbers(): Record<string, readonly number[]> {
    const numbers = { ...this.state.numbers }
    if (this.#parts.config.serverOptimizer.biasCorrection) numbers[stepsName] = [this.#optimizer.state.steps]
    for (const [name, list] of Object.entries(this.#collector.kept ?? {})) numbers[collectorPrefix + name] = list
    return numbers
  }

  /** The adapter that the federation began with, at the ranks of a space. */
  initialFor(space: Space): Float32Array {
    const { initial } = this.#parts
    if (space === this.space) return initial
    const known = this.#initial.get(space)
    if (known !== undefined) return known
    const fitted = fitRanks(initial, this.space, space)
    this.#initial.set(space, fitted)
    return fitted
  }

  /** The round after `round` begins. */
  async begin(): Promise<void> {
    this.#collector.begin(this.round + 1)
    this.#answers = []
    await this.#parts.adapters?.reset()
  }

  /** What a checkpoint keeps of the downloads: what clients hold, and the messages that led to it. */
  get downloads(): Vectors {
    return this.#broadcaster.kept
  }

  /**
   * What travels to a client of `space` in a round.
   * @param version - the round whose adapter the client holds, 0 for the one that the federation began with; undefined: none.
   */
  broadcast(space: Space, round: number, version?: number): Broadcast {
    return this.#broadcaster.send(this, space, round, version)
  }

  task(client: string, space: Space, round: number, learningRate: number, version?: number): Task {
    const { rounds, seed } = this.#parts.config
    const { vectors, numbers } = this.broadcast(space, round, version)
    const algorithm = this.#parts.chosen.algorithm.name
    const task: Task = {
      version: messageVersion,
      round,
      rounds,
      client,
      algorithm,
      learningRate,
      seed,
      vectors,
      numbers,
    }
    const segment = this.#shapes.segmentOf(client, round)
    const { clip } = this.#collector
    return { ...task, ...(segment !== undefined && { segment }), ...(clip !== undefined && { clip }) }
  }

  /** Of the round under way. */
  #choiceOf(name: string): ChosenPart | undefined {
    const round = this.round + 1
    const length = this.#shapes.travelLength(name, round) ?? this.state.vectors[name]!.length
    return this.#shapes.choiceOf(name, length, round)
  }

  /** 2-norm that clients cut what they send to, of the round under way or the next; undefined: none. */
  get clip(): number | undefined {
    return this.#collector.clip
  }

  /**
   * The decoded vectors of an answer that may count.
   * @throws FedloraError as `screen` (screen.ts), and as `MaskedSum.checkMasked`, for an answer that may not.
   */
  screen(answer: Answer, space: Space): Vectors {
    const shape = this.#shapes.expected(answer, space, this.state.vectors, this.masked !== undefined)
    const expected = { ...shape, weight: this.weightOf(answer) }
    const vectors = screen(answer, expected, this.#parts.config.screening)
    if (answer.loss !== null && answer.masked !== undefined) this.masked?.checkMasked(answer.client, answer.masked)
    return vectors
  }

  /**
   * Takes an answer; one without a loss adds nothing.
   * @param trained - the client's adapter after its work, where a simulation knows it: counted as its adapter when nothing of it travels.
   * @param vectors - what `screen` gave.
   * @param scale - what its vectors are scaled by, their weight stays; below 1 for answers to an earlier round.
   * @throws FedloraError as `screen`.
   */
  async accept(
    answer: Answer,
    space: Space,
    trained?: Float32Array,
    vectors = this.screen(answer, space),
    scale = 1,
  ): Promise<void> {
    if (answer.loss === null) return
    const { client, rows, steps, tokens, numbers, round } = answer
    const { chosen, adapters } = this.#parts
    const travels = travelOf(chosen, { space, round })
    const weight = this.weightOf(answer)
    if (this.masked !== undefined) {
      this.masked.take(client, answer.masked!)
      this.#answers.push({ client, rows, steps, tokens, weight, numbers, space })
      return
    }
    const sums = chosen.algorithm.needs !== 'all'
    if (sums) await this.#collector.add(client, scaled(vectors, scale), this.weightInSums(answer), round)
    // A part of a client's adapter is none, and an answer to an earlier round is a difference from one that is no more.
    const whole = this.#shapes.segmentOf(client, round) === undefined && round === this.round + 1
    if (adapters !== undefined && whole) {
      const known = trained !== undefined && Object.keys(travels).length === 0
      await adapters.add(client, known ? trained : this.#adapterOf(vectors, travels, space, round))
    }
    this.#answers.push({ client, rows, steps, tokens, weight, numbers, space })
  }

  /** What whoever screens and sums an answer elsewhere must know of it. @param sent - names of its vectors. */
  shareOf(answer: AnswerFacts, sent: readonly string[], space: Space): Share {
    const { client, round } = answer
    const { names, lengthOf } = this.#shapes.expected(answer, space, this.state.vectors, false)
    const known = sent.flatMap((name) => {
      const length = lengthOf(name)
      return length === undefined ? [] : [[name, { length, sum: this.#collector.sumOf!(client, name, round) }] as const]
    })
    const inSums = this.weightInSums(answer)
    return {
      names,
      vectors: Object.fromEntries(known),
      weight: this.weightOf(answer),
      inSums: Number.isFinite(inSums) ? inSums : null,
    }
  }

  /**
   * Takes answers that were screened and summed elsewhere, each as its `shareOf` says.
   * @param sums - exact sums of their vectors, by name.
   * @throws FedloraError `E_PROTOCOL`, `E_FORMAT`, `E_CHECKSUM`, `E_VERSION`, `E_SHAPE` for sums that are not of these: some may be added then.
   */
  acceptSummed(
    answers: readonly { answer: AnswerFacts; space: Space; share: Share }[],
    sums: Readonly<Record<string, Uint8Array>>,
  ): void {
    const learnt = answers.filter(({ answer }) => answer.loss !== null)
    this.#collector.merge!(
      expectedSums(
        learnt.map(({ share }) => share),
        sums,
      ),
    )
    for (const { answer, space, share } of learnt) {
      const { client, rows, steps, tokens, numbers } = answer
      this.#answers.push({ client, rows, steps, tokens, weight: share.weight, numbers, space })
    }
  }

  /** The masked sum, where updates come masked. */
  get masked(): MaskedSum | undefined {
    return this.#collector instanceof MaskedSum ? this.#collector : undefined
  }

  /** A client's adapter after its work: what it was sent, and its updates. */
  #adapterOf(vectors: Readonly<Vectors>, travels: Travel, space: Space, round: number): Float32Array {
    const adapter = this.broadcast(space, round).adapter.slice()
    addUpdates(travels, adapter, vectors)
    return adapter
  }

  /** What an answer counts by in means. */
  weightOf(answer: AnswerFacts): number {
    const { chosen, config } = this.#parts
    return weightOf(chosen, config.weighting, answer)
  }

  /** What its vectors are summed with. */
  weightInSums(answer: AnswerFacts): number {
    const { algorithm, options } = this.#parts.chosen
    const weight = this.weightOf(answer)
    return weight * (algorithm.emphasis?.({ ...answer, weight }, options) ?? 1)
  }

  /**
   * The round ends: what was summed becomes the next state.
   * @param abandon - why it does not, in words; a collector may know a reason, too.
   */
  async finish(round: number, learningRate: number, abandon?: string): Promise<Closed> {
    const { chosen } = this.#parts
    const answers = this.#answers.sort((a, b) => (a.client < b.client ? -1 : 1))
    const measurements: Record<string, number> = {}
    const means: Vectors = {}
    const steps = answers.length > 0 || this.#collector.always === true
    const abandoned = abandon ?? (steps ? this.#collector.lacks?.() : undefined)
    this.#broadcaster.commit(round)
    if (abandoned !== undefined) {
      this.round = round
      return { means, answers: [], measurements, abandoned }
    }
    for (const name of Object.keys(travelOf(chosen, { space: this.space, round }))) {
      const mean = this.#collector.mean(name)
      if (mean !== null) means[name] = mean
    }
    this.whole = false
    if (steps) await finishOf(chosen, this.#closing(round, learningRate, answers, measurements))
    this.round = round
    this.whole = true
    const { selected } = this.#collector
    return { means, answers, measurements, ...(selected !== undefined && { selected }) }
  }

  #closing(
    round: number,
    learningRate: number,
    answers: readonly Answered[],
    measurements: Record<string, number>,
  ): Closing {
    const { chosen, config, space, population, adapters } = this.#parts
    const { state } = this
    const step = this.#optimizer.state.steps + 1
    return {
      round,
      rounds: config.rounds,
      seed: config.seed,
      learningRate,
      population: typeof population === 'function' ? population() : population,
      space,
      maxResidualRank: config.maxResidualRank ?? 256,
      initial: this.#parts.initial,
      state,
      answers,
      travels: travelOf(chosen, { space, round }),
      mean: (name) => {
        const mean = this.#collector.mean(name)
        if (mean === null)
          throw new FedloraError('E_INTERNAL', `algorithm ${chosen.algorithm.name}: nobody sent '${name}'`)
        return mean
      },
      sent: (clientSpace) => this.broadcast(clientSpace, round).adapter,
      get adapters() {
        if (adapters === undefined || chosen.algorithm.needs !== 'all') {
          const message = `algorithm ${chosen.algorithm.name} reads the clients' adapters; its record must say needs: 'all'`
          throw new FedloraError('E_CONFIG', message)
        }
        return adapters
      },
      step: (update, ranges) => this.#optimizer.step(state.vectors.adapter!, update, ranges, step),
      report: (name, value) => {
        measurements[name] = value
      },
    }
  }

  dispose(): void {
    this.#collector.dispose()
  }
}
