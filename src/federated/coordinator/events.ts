/** What a federation between machines tells: what a simulation tells of its rounds, and who comes and goes. */
import type {
  ClientReport,
  FederationBudgetEvent,
  FederationDoneEvent,
  FederationEvaluationEvent,
  RoundEvent,
} from '../events.js'
import type { Torn } from '../journal/journal.js'

interface Of<T extends string> {
  type: T
  /** Name of the client. */
  name: string
}

/** A client has joined, or come with a new key. */
export type JoinedEvent = Of<'joined'>
/** An operator has shut a client out. */
export type LeftEvent = Of<'left'>

/** Those who were asked for a round; without rounds, those who begin from the server's present state, as often as there is room for some. */
export interface BegunEvent {
  type: 'begin'
  round: number
  rounds: number
  clients: readonly string[]
  /** When it closes at the latest, milliseconds since the epoch; null: no such time. */
  deadline: number | null
}

/** A phase of a round's secure aggregation has ended, and another begins. */
export interface PhaseEvent {
  type: 'phase'
  round: number
  phase: 'shares' | 'masked' | 'signed' | 'revealed' | 'done'
  /** When it closes at the latest, milliseconds since the epoch; null: no such time. */
  deadline: number | null
}

/** A client's answer counts. */
export interface AnsweredEvent extends ClientReport {
  type: 'client'
  round: number
  /** Without rounds: answers in the buffer by then, and in a full one. */
  buffer?: { answers: number; size: number }
}

/** A client that was asked will not answer, or its answer may not count. */
export interface WithoutEvent extends Of<'refused' | 'failed' | 'declined'> {
  round: number
  code: string
  message: string
}

/** An operator has paused the federation, lets it go on, or has ended it. */
export interface OperatorEvent {
  type: 'pause' | 'resume' | 'stop'
  who: string
}

/** Something went wrong that the server goes on from. */
export interface TroubleEvent {
  type: 'trouble'
  code: string
  message: string
}

/** The server was killed within an append to its journal, which nobody had been told of: what was there of it is cut off. */
export interface TornEvent extends Torn {
  type: 'torn'
}

export type CoordinatorEvent =
  | TornEvent
  | JoinedEvent
  | LeftEvent
  | BegunEvent
  | PhaseEvent
  | AnsweredEvent
  | WithoutEvent
  | RoundEvent
  | FederationEvaluationEvent
  | OperatorEvent
  | TroubleEvent
  | FederationBudgetEvent
  | FederationDoneEvent
