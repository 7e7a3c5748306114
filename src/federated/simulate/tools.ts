/** What a federation in one process works with. */
import type { Chosen } from '../algorithms/algorithm.js'
import type { OwnState } from '../client/own-state.js'
import type { PrivateWork } from '../client/trainer.js'
import type { Outgoing } from '../client/work.js'
import type { FederationConfig } from '../options.js'
import type { RoundBudget } from '../private-rounds.js'
import type { Server } from '../server/server.js'
import type { Attackers } from './attackers/open.js'
import type { Clients } from './clients.js'
import type { Clock } from './clock/clock.js'
import type { CohortDraw } from './cohort.js'
import type { ErrorMeter } from './error-meter.js'
import type { Fidelity } from './fidelity.js'
import type { MaskedClients } from './masked-clients.js'
import type { Locals } from './overrides.js'
import type { Slot, Spaces } from './spaces.js'
import type { WaitingAnswers } from './waiting.js'

/** What a federation holds on to between rounds; none of it grows with clients or rounds. */
export interface RoundTools {
  config: FederationConfig
  chosen: Chosen
  clients: Clients
  attackers: Attackers
  locals: Locals
  spaces: Spaces
  server: Server
  cohorts: CohortDraw
  /** Virtual time; absent without `clock`. */
  clock: Clock | undefined
  /** Answers that are not due yet; absent where none ever waits. */
  waiting: WaitingAnswers | undefined
  /** One for each client at work at the same time. */
  slots: readonly Slot[]
  /** Floating-point operations of a token that a client trains. */
  flopPerToken: number
  /** Tokens of a pass that several clients share. */
  mostTokens: number
  fidelity: Fidelity
  errors: ErrorMeter
  /** Absent when clients keep nothing. */
  own: OwnState | undefined
  /** Those of a secure aggregation; absent where updates travel openly. */
  masked: MaskedClients | undefined
  /** What is done to the updates of all clients on their way out. */
  outgoing: readonly Outgoing[]
  /** Of a federation with differential privacy. */
  budget: RoundBudget | undefined
  /** What clients do whose rows are hidden, by index; undefined: their steps are plain. */
  work: readonly PrivateWork[] | undefined
}
