/** What a federation tells while it runs, and what it gives in the end. */
import type { ErrorCode } from '../errors.js'
import type { EvaluationResult } from '../evaluation/evaluate.js'
import type { Adapter } from '../model/adapter.js'
import type { Failure } from '../run/failure.js'
import type { GapEvent } from '../run/run-events.js'
import type { ProgressEvent } from '../training/events.js'
import type { AttackName } from './attacker-options.js'
import type { Spread } from './simulate/spread.js'

/** One participant's part of a round. */
export interface ClientReport {
  client: number
  name: string
  /** Rows it trains on. */
  rows: number
  /** Mean over the supervised tokens of its local steps; null when they held none: such a client sends nothing and weighs nothing. */
  loss: number | null
  steps: number
  tokens: number
  /** Bytes of its encoded update; 0 when it had nothing to send. */
  bytesUp: number
  /** Steps of the server since it began; of a server of an asynchronous federation, where it counts (in a simulation: `RoundTime.clients`). */
  staleness?: number
  /** How it lies, where `attackers` says that it does. */
  attack?: AttackName
}

/** An answer that does not count: damaged, not finite, of another shape, or beyond the bounds of `screening`. */
export interface RefusedAnswer {
  client: number
  name: string
  code: ErrorCode
  message: string
}

/** Seconds of the machine by phase; a pass that several clients share counts once. */
export interface RoundSeconds {
  train: number
  encode: number
  aggregate: number
  total: number
}

/** What a private federation has spent by the end of a round, and how. */
export interface RoundPrivacy {
  /** So far, this round included; null: nothing is private, for there is no noise. */
  epsilon: number | null
  delta: number
  /** The ε at which the run ends. */
  budget?: number
  /** Probability with which a client is asked. */
  sampleRate: number
  /** Standard deviation of the round's noise, in clip norms. */
  noiseMultiplier: number
  /** 2-norm that updates were cut to. */
  clip: number
}

/** What became of a client that was asked. */
export type ClientOutcome =
  | 'counted'
  /** Its answer came after the round had closed. */
  | 'late'
  /** Its answer was of too old a state. */
  | 'stale'
  /** Its answer may not count (`refused`). */
  | 'refused'
  /** It did not answer. */
  | 'absent'
  /** Its windows end before its work. */
  | 'unavailable'

/** A client's part in virtual time. */
export interface ClientTime {
  client: number
  name: string
  /** The round whose state it started from. */
  round: number
  /** Virtual seconds since the federation began. */
  asked: number
  /** Null when it never answers. */
  finish: number | null
  outcome: ClientOutcome
  /** Steps of the server between its start and the round in which it counts. */
  staleness: number
}

/** A round in virtual time: seconds since the federation began. */
export interface RoundTime {
  start: number
  end: number
  /** Sums over the clients that worked, also of those whose work did not count. */
  seconds: { wait: number; download: number; compute: number; upload: number }
  /** Of all transfers, also of answers that did not count. */
  bytesUp: number
  bytesDown: number
  /** Trained, also for answers that did not count. */
  tokens: number
  /** Estimate of the energy that clients used: watts × seconds. */
  joules: number
  /** The tier that the cohort was drawn within, the fastest is 0; null without tiers. */
  tier: number | null
  /** In the order of their finish; those who never answer last. */
  clients: ClientTime[]
}

export interface RoundEvent {
  type: 'round'
  round: number
  rounds: number
  /** Mean of the losses of those that sent an update, weighted by rows; null when nobody did. */
  loss: number | null
  learningRate: number
  clients: ClientReport[]
  /** Clients that received the adapter and did not answer. */
  dropped: number[]
  /** Answers that were not counted, and why; absent when there were none. They are neither in `clients` nor in any sum. */
  refused?: RefusedAnswer[]
  /** Bytes of the encoded updates. */
  bytesUp: number
  /** Bytes of the encoded adapter times the cohort. */
  bytesDown: number
  /** Bytes of the updates that were sent, as float32. */
  bytesUpRaw: number
  bytesDownRaw: number
  /** bytesUpRaw / bytesUp; null when nobody sent an update. */
  compressionRatio: number | null
  /** Cosine between the mean of the decoded updates and the mean of the updates before encoding; null when nobody sent one, or they are not averaged (`robust`, or an algorithm with `needs: 'all'`). */
  cosine: number | null
  /**
   * ‖ΔW_server − Σ pₖ sₖ Bₖ Aₖ‖ / ‖Σ pₖ sₖ Bₖ Aₖ‖ over all adapted layers: how far the server's product is from the mean of the clients'
   * products; null when nobody sent an update, or only parts of them were sent.
   */
  aggregationError: number | null
  /** Of a federation with differential privacy. */
  privacy?: RoundPrivacy
  /** What the algorithm reports of the round. */
  measurements: Record<string, number>
  /** Clients whose updates the rule of `robust` selected; absent where it does not select. */
  selected?: number[]
  /** With secure aggregation: clients whose updates are in the sum, and bytes of its protocol beside the masked vectors, which the sums above contain. */
  secureAggregation?: {
    survivors: number
    bytesUp: number
    bytesDown: number
    /** Names of clients whose shares did not fit the others: the sum is right without them. Absent: there are none. */
    culprits?: string[]
  }
  /** Why the answers made no step and the adapter is that of the round before, in words; absent when they made one. */
  abandoned?: string
  /** Virtual time; absent without `clock`. */
  clock?: RoundTime
  /** 2-norm of the mean update; 0 when nobody sent one, or the algorithm averages none. */
  updateNorm: number
  tokens: number
  /** Floating-point operations of the local training, also of work that did not count: 4P + 6A a token (`costToTarget`). */
  flop?: number
  seconds: RoundSeconds
  tokensPerSecond: number
  peakBytes: number
}

/** Progress inside a round, in the order in which clients end. Not part of the event log. */
export interface ClientEvent extends ClientReport {
  type: 'client'
  round: number
  tokensPerSecond: number
}

/** Whose adapter was measured. */
export type Whose = 'global' | 'personal'

/** A client measured on the rows that it keeps for its tests. */
export interface ClientMeasure {
  client: number
  name: string
  /** Whether its work has counted in some round. One whose work has not has no adapter of its own: the global one serves it. */
  tookPart: boolean
  /** Mean cross-entropy over the supervised tokens, in nats. */
  loss: number
  tokenAccuracy: number
  /** Supervised tokens. */
  tokens: number
}

/** Clients measured each on its own rows; in the sums over them every client counts the same. */
export interface ClientsEvaluation extends Spread {
  each: ClientMeasure[]
  /** Clients without a test row that has a supervised token. */
  unmeasured: number[]
  /** Steps that each was fine-tuned by before it was measured; nothing of them is kept. */
  fineTuneSteps: number
}

/** An evaluation, and whose adapter it is of. */
export interface FederationEvaluation extends EvaluationResult {
  of: Whose
  /** Absent: measured on `evaluate.data`. Otherwise on the clients' own test rows, and the figures beside it are those of all of them together. */
  clients?: ClientsEvaluation
}

export interface FederationEvaluationEvent extends FederationEvaluation {
  type: 'evaluation'
  round: number
}

export interface BaselineReport {
  kind: 'global' | 'local'
  /** Only of a local baseline. */
  client?: number
  name: string
  /** Training loss of the last step that had supervised tokens; null when none had. */
  loss: number | null
  steps: number
  tokens: number
  evaluation: EvaluationResult | null
  /** Where its adapter lies; null without an output folder. */
  adapter: string | null
}

export interface BaselineEvent extends BaselineReport {
  type: 'baseline'
}

/** Progress of a baseline. Not part of the event log. */
export interface BaselineStepEvent {
  type: 'baseline-step'
  name: string
  step: number
  /** Null when the budget is in epochs. */
  steps: number | null
  loss: number
  tokensPerSecond: number
}

export interface FederationCheckpointEvent {
  type: 'checkpoint'
  round: number
  path: string
}

/** The budget of a private federation has no room for another round: it ends with what it has. */
export interface FederationBudgetEvent {
  type: 'budget'
  /** Rounds done. */
  round: number
  /** Spent. */
  epsilon: number
  budget: number
}

export interface FederationDoneEvent {
  type: 'done'
  rounds: number
}

/** The run failed: what onlookers see of the failure, and the last line of its log. */
export interface FederationErrorEvent extends Failure {
  /** Complete rounds before. */
  round: number
}

export type FederationEvent =
  | ProgressEvent
  | RoundEvent
  | ClientEvent
  | FederationEvaluationEvent
  | BaselineEvent
  | BaselineStepEvent
  | FederationCheckpointEvent
  | FederationBudgetEvent
  | FederationDoneEvent
  | FederationErrorEvent
  | GapEvent

export interface FederationResult {
  rounds: number
  /** Clients that were at work at the same time: as asked for, or fewer where the cohort or the memory budget has no room for them. */
  concurrency: number
  /** Mean loss of the last round in which somebody sent an update. */
  loss: number | null
  /** Sums over all rounds. */
  bytesUp: number
  bytesDown: number
  bytesUpRaw: number
  bytesDownRaw: number
  tokens: number
  steps: number
  /** Tokens over seconds of local training. */
  tokensPerSecond: number
  /** Virtual seconds of all rounds, and the energy that clients used; null without `clock`. */
  clock: { seconds: number; joules: number } | null
  /** Of the final global adapter on `evaluate.data`, when there is such. */
  evaluation: EvaluationResult | null
  /** Of the clients on their own test rows after the last round: an entry for each that `evaluate.of` asks for, global before personal. */
  clientEvaluations: (FederationEvaluation & { clients: ClientsEvaluation })[]
  baselines: BaselineReport[]
  /** What a private federation has spent; null: it is not private. */
  privacy: RoundPrivacy | null
  /** The adapter that was trained: the one given, or a new one that is now the caller's to dispose. */
  adapter: Adapter
  /** The run folder, when there is one. */
  folder: string | null
}
