/** The two values between server and client: what is asked, and what comes back. Plain data; the schemas are the law of the wire. */
import { z } from 'zod'

/** Of both messages: raised when the meaning of a field changes. */
export const messageVersion = 1

const count = z.int().min(0)

/** A vector as an update message (codec, length, checksum inside). */
const encoded = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected a Uint8Array')
const vectors = z.record(z.string(), encoded)
const numbers = z.record(z.string(), z.array(z.number()))

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
  /** 'adapter': where to start from; and what else the algorithm sends. */
  vectors,
  numbers,
})

export type Task = z.output<typeof taskSchema>

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
})

export type Answer = z.output<typeof answerSchema>
