/** How a federation goes on from step to step: by rounds (rounds.ts), or by buffers (buffer.ts). What its conductor asks of it. */
import type { Vectors } from '../algorithms/algorithm.js'
import type { Answer } from '../protocol/messages.js'
import type { Done } from '../workers/assignment.js'

export interface Course {
  /** The sums of the step under way, where they do not stand: begun anew, with all that counts already. */
  makeUp(): Promise<void>
  /** Adds an answer that counts. @throws what went wrong: the sums then stand no longer, and it is added again before the step ends. */
  add(answer: Answer, vectors: Vectors): Promise<void>
  /** A worker hands back what has come of answers that were assigned to it; absent: there are no workers. */
  hear?(done: Done): Promise<void>
  /** Writes down what time has brought. */
  expire(): Promise<void>
  /** Milliseconds until that has something to do; undefined: nothing is waited for by time. */
  dueIn(): number | undefined
  /** Does one thing that is due; false: there is none. */
  advance(): Promise<boolean>
}
