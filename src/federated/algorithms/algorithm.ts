/**
 * What an algorithm of federated learning is: one record, used by a simulation, a server and a client alike. Everything is optional but
 * its name; what is left out is FedAvg's: the adapter travels down whole, is trained whole, its update travels up, updates are averaged
 * by rows, and the mean is the server's step.
 *
 *   server.sends → client: given → client.work → sent → server: summed as they come → server.finish → next state
 *
 * The client's side knows a `ClientKit`, the server's side a `Closing`; neither knows a model, a network or a file.
 */
import type { z } from 'zod'
import type { Range, Ranges, Space } from '../protocol/space.js'

export type { Range, Ranges, Space }

/** Flat vectors by name. */
export type Vectors = Record<string, Float32Array>
/** Small lists of numbers by name, exact in every message and checkpoint. */
export type Numbers = Record<string, readonly number[]>

/** What a server remembers from round to round: 'adapter', and what the algorithm adds. */
export interface ServerState {
  vectors: Vectors
  numbers: Numbers
}

/** What a client counts by in a mean: its rows, the tokens of its steps, or all the same. */
export type Weighting = 'rows' | 'tokens' | 'uniform'

/** Elements of the adapter that travel up, by the name of the vector that carries their update. */
export type Travel = Readonly<Record<string, Ranges>>

// ---------------------------------------------------------------------------------------------------------------- the client's side

/** One training of a client. */
export interface TrainPlan {
  /** Values to start from; not changed. */
  from: Float32Array
  /** What is trained: no gradient, decay or moment elsewhere. Default: everything. */
  trainable?: Ranges
  /** g += mu · (w − anchor), before the norm is taken and clipped. */
  proximal?: { mu: number; anchor: Float32Array }
  /** g += correction, likewise. */
  correction?: Float32Array
  /** Optimiser steps; default: the federation's `local.steps` or `local.epochs`. */
  steps?: number
  /** Default: the task's. */
  learningRate?: number
  /** Trainings of one round with different labels draw different row orders; default 'work'. */
  label?: string
  /** Called after every step with the number of steps done; what it gives replaces `proximal`. */
  afterStep?: (step: number, values: () => Float32Array) => { mu: number; anchor: Float32Array } | undefined
  /** How often the losses of a row count, by its index; a row of 0 is not learnt from. Default: 1 each. */
  weightOf?: (row: number) => number
  /**
   * Trains a core between the factors of every layer instead of them, ΔW = s·B·R·A, from these values: every R [rank, rank], row-major, layer
   * after layer. `from` holds A and B; terms are like the core.
   */
  core?: Float32Array
  /** Frozen factors beside the trained ones: ranks by module, and their values. */
  residual?: Residual | undefined
}

/** Frozen low-rank factors beside the adapter's, module by module: A [rank, in], then B [out, rank], in the scale of the adapter. */
export interface Residual {
  ranks: readonly number[]
  values: Float32Array
}

export interface Trained {
  /** The adapter afterwards; with a core, its lora_A is R·A. */
  values: Float32Array
  /** The core afterwards, where one was trained. */
  core?: Float32Array
  /** Mean over the supervised tokens of its steps; null when they held none. */
  loss: number | null
  steps: number
  /** Of the steps: those that changed something, for which they needed a supervised token. */
  updates: number
  tokens: number
}

/** A training by forward passes alone. */
export interface ZerothPlan {
  /** Values to start from; not changed. */
  from: Float32Array
  /** ε: how far a step looks on either side. */
  epsilon: number
  /** Seed of the direction of a step, numbered from 1; asked once a step, in order. */
  directionOf: (step: number) => number
}

/** What came of it. */
export interface Looked extends Trained {
  /** By step: ê, the slope of the loss along the step's direction; 0 for a step without a supervised token. */
  projected: readonly number[]
}

/** What a client works with in one round. */
export interface ClientKit {
  readonly client: string
  readonly round: number
  /** Rounds of the federation. */
  readonly rounds: number
  /** Seed of the federation. */
  readonly seed: number
  /** The client's own space: its ranks may be its own. */
  readonly space: Space
  readonly learningRate: number
  /** The client's optimiser; `momentum` is SGD's. */
  readonly local: Readonly<{ optimizer: 'adamw' | 'sgd'; momentum: number }>
  /** Steps of a training whose plan names none. */
  readonly steps: number
  /** Rows that it trains on. */
  readonly rows: number
  /** The adapter that the federation began with, at the client's ranks. */
  readonly initial: Float32Array
  /** What the server sent: 'adapter' whole, and what the algorithm adds. */
  readonly given: Readonly<Vectors>
  readonly numbers: Numbers
  /** What the client kept from its last round: undefined before its first. */
  readonly own: Readonly<Partial<Vectors>>
  /** Elements whose update travels in this round, by name. */
  readonly travels: Travel
  train(plan: TrainPlan): Promise<Trained>
  /** w ← w − η·ê·z, a direction a step, at the task's learning rate; as many steps as a training has. */
  zeroth(plan: ZerothPlan): Promise<Looked>
  /** ∇f of the mean loss over the supervised tokens of all its rows, at `values`; zero when they hold none. */
  gradient(values: Float32Array): Promise<Float32Array>
  /** The loss of each of its rows at `values`, summed over the row's supervised tokens, in nats. */
  rowLosses(values: Float32Array): Promise<Float64Array>
}

/** What a client gives back. */
export interface Sent {
  /** Its main training, for loss, steps and tokens of the report; several are summed by the kit when left out. */
  trained: Trained
  /** By name; encoded as `upload` says. */
  vectors: Vectors
  numbers?: Numbers
  /** What it keeps for its next round; what is not named stays as it was. */
  keep?: Vectors
}

// ---------------------------------------------------------------------------------------------------------------- the server's side

/** An answer as the server knows it after decoding. */
export interface Answered {
  readonly client: string
  readonly rows: number
  readonly steps: number
  readonly tokens: number
  /** Its weight in the means, not normalised, without the algorithm's emphasis. */
  readonly weight: number
  readonly numbers: Numbers
  /** The client's own space. */
  readonly space: Space
}

/** The clients' adapters after their work, as the server knows them: what it had sent plus the decoded update. Read by ranges. */
export interface ClientAdapters {
  /** Elements [begin, end) of a client's adapter, in its own space. */
  read(client: string, begin: number, end: number): Promise<Float32Array>
}

/** The end of a round. */
export interface Closing {
  readonly round: number
  readonly rounds: number
  readonly seed: number
  readonly learningRate: number
  /** Clients of the federation, asked or not. */
  readonly population: number
  readonly space: Space
  /** Ranks that a residual may have. */
  readonly maxResidualRank: number
  /** The adapter that the federation began with. */
  readonly initial: Float32Array
  /** Live: write into the vectors, or put others in their place. */
  readonly state: ServerState
  /** Those that sent something, by name in ascending order; empty only where noise makes a step of nothing. */
  readonly answers: readonly Answered[]
  readonly travels: Travel
  /** The weighted mean of a vector that clients sent. @throws FedloraError `E_INTERNAL` when nobody sent one of that name. */
  mean(name: string): Float32Array
  /** What the server had sent to clients of this space as 'adapter'. */
  sent(space: Space): Float32Array
  /** The clients' adapters; only for an algorithm that says `needs: 'all'`. */
  readonly adapters: ClientAdapters
  /** The server's optimiser: applies a mean update to these elements of the adapter (default: all). */
  step(update: Float32Array, ranges?: Ranges): void
  /** A figure of the round, told in its event under `measurements`. */
  report(name: string, value: number): void
}

export interface Start {
  readonly space: Space
  readonly seed: number
  /** The adapter that the federation begins with. */
  readonly adapter: Float32Array
}

/** What a client starts from is made of. */
export interface Rebuild {
  /** Seed of the federation. */
  readonly seed: number
  /** The adapter that the federation began with, at the client's ranks. */
  readonly initial: Float32Array
  /** What the server sent. */
  readonly given: Readonly<Vectors>
  readonly numbers: Numbers
}

/** What an algorithm needs to know of a round to say what travels. */
export interface Turn {
  readonly space: Space
  /** From 1. */
  readonly round: number
}

export interface Algorithm<Options extends object = object> {
  /** As in `algorithm: 'fedavg'`. */
  readonly name: string
  /** What it is for, in one sentence. */
  readonly about: string
  /** Where it comes from: authors, year, title. */
  readonly source: string
  /** Its options, each with its default; default: none. */
  readonly options?: z.ZodType<Options>
  /** What its means must be weighted by; default: what the federation says, or 'rows'. */
  readonly weighting?: Weighting
  /** 'stream': the sums take each update as it comes, memory does not grow with clients. 'all': it reads every client's adapter again. */
  readonly needs?: 'stream' | 'all'
  /** Whether clients may have ranks of their own; default 'equal'. */
  readonly ranks?: 'equal' | 'any'
  /** Whether the federation's `serverOptimizer` applies; default true. False: the algorithm has its own rule for the next state. */
  readonly serverOptimizer?: boolean
  /** Whether a robust rule may stand in for its means; default true, unless it `needs: 'all'` or has an `emphasis`. */
  readonly robust?: boolean
  /**
   * Whether an answer that began from an earlier state of the server means something for this one; default: where updates are averaged as they
   * come (no `needs: 'all'`) and the step is the server optimiser's (no `finish`).
   */
  readonly asynchronous?: boolean
  /** Whether clients look at their rows otherwise than by one training a round; default false. Noise on that training then hides no row. */
  readonly looksAgain?: boolean | ((options: Options, local: Pick<ClientKit['local'], 'optimizer'>) => boolean)
  /** Whether `finish` makes the next state of the means alone, so that it tells nothing that they do not; default false. */
  readonly postprocesses?: boolean
  /** Another record of the same name, where these options mean one. */
  variant?(options: Options): Algorithm<Options> | undefined
  /** Whether what a lossy codec leaves out of an update can go with the next; default true. False: the factors are made anew each round. */
  readonly errorFeedback?: boolean
  /** Vectors that clients keep between rounds; default none. */
  readonly keeps?: readonly string[]
  /** What travels up of the adapter in a round; default `{ adapter: all of it }`. */
  travels?(turn: Turn, options: Options): Travel
  /** What travels down of the adapter; the rest is as the federation began. Default: all of it. */
  receives?(turn: Turn, options: Options): Ranges
  /** How a client makes its starting point of what it was sent; default: what it received of the adapter, in its place. */
  rebuild?(sent: Rebuild, options: Options): Promise<Float32Array>
  /** Vectors and numbers of the server beside 'adapter', as the federation begins. */
  state?(start: Start, options: Options): Partial<ServerState>
  /** Rank of a client's adapter from now on, at most the one it has at first; default: that one. */
  rankOf?(state: ServerState, client: string): number | undefined
  /** Names of the server's vectors and numbers that travel down beside 'adapter'; default: all. */
  sends?(turn: Turn, options: Options): readonly string[]
  /** A client's work; default: trains what travels, sends its update. */
  work?(kit: ClientKit, options: Options): Promise<Sent>
  /** Factor on an answer's weight in the sums, beside its `weight`; default 1. */
  emphasis?(answer: Omit<Answered, 'space'>, options: Options): number
  /** The next state; default: a step of the server's optimiser for each vector that travelled. */
  finish?(closing: Closing, options: Options): void | Promise<void>
  /** The adapter that the federation has come to: what is evaluated, saved and given back. Default: the state's 'adapter'. */
  result?(state: ServerState, options: Options): Float32Array
  /** The adapter that a client is served by, of what it is given and has kept; default: the one given. */
  personal?(kit: PersonalKit, options: Options): Float32Array
  /** What predicts for a client where that is more than one adapter: it is measured in the place of `personal`, which is saved. */
  mixture?(kit: PersonalKit, options: Options): Mixture
}

/** Adapters whose probabilities are mixed: p(row) = Σ weightₘ·pₘ(row), weights in sum 1. */
export interface Mixture {
  weights: readonly number[]
  adapters: readonly Float32Array[]
}

/** What a client's own adapter is made of. */
export type PersonalKit = Pick<ClientKit, 'client' | 'space' | 'initial' | 'given' | 'numbers' | 'own'>

/** An algorithm and its options, checked. */
export interface Chosen<Options extends object = object> {
  readonly algorithm: Algorithm<Options>
  readonly options: Options
}
