/** What the server asks of a node, and what the node may say. */
import type { ArrayRecord } from '../objects/arrays.js'
import type { FlowerArray } from '../objects/npy.js'
import type { RecordValue, ValueRecord } from '../objects/values.js'
import type { About } from './events.js'

/** What the server asks. Maps are in the order in which the server sent them. */
export interface Instruction extends About {
  /** Of the only record of arrays; empty without one. */
  arrays: ArrayRecord
  /** Of the only record of configuration; an int of Python is a bigint, a float a number. */
  config: ValueRecord
  /** Of the only record of metrics. */
  metrics: ValueRecord
}

/** What a node answers: arrays for `train`, and one set of metrics, the same names from every node. */
export interface Reply {
  arrays?: ReadonlyMap<string, FlowerArray>
  /** `num-examples`, as a bigint, is what the server weighs by. */
  metrics: Readonly<Record<string, RecordValue>>
}

/** Does what the server asks. What it throws is told the server as an error; the signal ends it. */
export type Work = (instruction: Instruction, signal: AbortSignal) => Reply | Promise<Reply>
