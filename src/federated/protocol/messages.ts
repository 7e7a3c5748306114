/** The two values between server and client: what is asked, and what comes back. Plain data; the schemas are the law of the wire. */
import { z } from 'zod'
import { maskedSchema } from './secagg/messages.js'

/** Of both messages: raised when the meaning of a field changes. */
export const messageVersion = 1

const count = z.int().min(0)

/** A vector as an update message (codec, length, checksum inside). */
const encoded = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected a Uint8Array')
const vectors = z.record(z.string(), encoded)
const numbers = z.record(z.string(), z.array(z.number()))

/** Names of the messages of a task that say how the adapter of one round differs from that of the round before. */
const deltaPrefix = 'adapter.delta-'
export const deltaName = (round: number): string => deltaPrefix + round

/** The rounds of such messages in a task, ascending. */
export const deltasOf = ({ vectors }: Pick<Task, 'vectors'>): number[] =>
  Object.keys(vectors)
    .flatMap((name) => (name.startsWith(deltaPrefix) ? [Number(name.slice(deltaPrefix.length))] : []))
    .sort((a, b) => a - b)

/** The work of one client in one round. */
export const taskSchema = z.strictObject({
  version: z.literal(messageVersion),
  round: z.int().min(1),
  /** Rounds of the federation. */
  rounds: z.int().min(1),
  /** Name of the client. */
  client: z.string(),
  /** Name of the algorithm; its options are the federation's, which both sides have. */
  algorithm: z.string(),
  /** Constant within the round. */
  learningRate: z.number().positive(),
  /** Of the federation; a client's own draws are made from it, the round and its name. */
  seed: count,
  /** 'adapter': where to start from, or how it differs from what the client holds, by round; and what else the algorithm sends. */
  vectors,
  numbers,
  /** The part to send of each vector of the adapter that travels up; absent: all of it. */
  segment: z.strictObject({ index: count, of: z.int().min(2) }).optional(),
  /** 2-norm that the client cuts what it sends to, over all vectors together; absent: none. */
  clip: z.number().positive().optional(),
})

export type Task = z.output<typeof taskSchema>

/** Vectors that lie one after the other under a mask: their names and lengths in order, and the message of the secure aggregation. */
const masked = z.strictObject({ vectors: z.array(z.tuple([z.string(), count])), message: maskedSchema })

export const answerSchema = z.strictObject({
  version: z.literal(messageVersion),
  round: z.int().min(1),
  client: z.string(),
  /** Rows that it trains on. */
  rows: count,
  steps: count,
  tokens: count,
  /** Mean over the supervised tokens of its steps; null when they held none: such an answer teaches nothing and weighs nothing. */
  loss: z.number().nullable(),
  /** Encoded updates by name; none without a loss. */
  vectors,
  numbers,
  /** What stands for `vectors` where updates are masked. */
  masked: masked.optional(),
})

export type Answer = z.output<typeof answerSchema>
