/**
 * What is said between the server of a federation and its clients, whatever lies between them. Plain data; the schemas are the law of the wire.
 *
 *   client  next(known) →                    say(word) →
 *   server                notice, or none →              reply
 *
 * A client says what it knows, and the server answers with the first thing that it lacks: neither has to remember what the other was told, so
 * that both may be restarted at any time, and everything may be said twice.
 */
import { z } from 'zod'
import { blobRefSchema } from '../blobs/blob-store.js'
import { answerSchema, taskSchema } from '../protocol/messages.js'

/** Raised when the meaning of anything here changes. */
const protocolVersion = 1

const round = z.int().min(1)
const count = z.int().min(0)
/** Who a federation is: 16 random bytes. */
export const runIdSchema = z.string().regex(/^[0-9a-f]{32}$/, 'expected 32 hexadecimal digits')
const base64 = z.base64()
/** Characters of what one side tells the other in words. */
export const mostWordsLength = 4096
const words = z.string().max(mostWordsLength)

/** What never changes in the life of a federation, but for the number of its rounds. Every client reads it once, and checks what it needs. */
export const descriptionSchema = z.strictObject({
  protocol: z.literal(protocolVersion),
  run: runIdSchema,
  name: z.string(),
  /** Options of the federation as `simulate` takes them, with every default filled in. */
  federation: z.record(z.string(), z.json()),
  /** The base: SHA-256 of what its config.json means, of its weights' files and, where rows are text, of what its tokenizer does; and the options that it is loaded with. */
  model: z.strictObject({
    name: z.string(),
    config: z.string(),
    weights: z.string(),
    tokenizer: z.string().optional(),
    options: z.record(z.string(), z.json()),
  }),
  /** Options of the adapter, and its targets, as the server resolved them. */
  adapter: z.strictObject({ config: z.record(z.string(), z.json()), targets: z.array(z.string()), length: count }),
  /** How rows are read and rendered, as `loadDataset` takes it. */
  data: z.record(z.string(), z.json()),
  /** The adapter that the federation begins with, as an update message of codec f32. */
  initial: blobRefSchema,
})
export type Description = z.output<typeof descriptionSchema>

/** What a client knows: the server answers with what comes after it. */
export const knownSchema = z.strictObject({
  /** The last round whose outcome the client has kept; 0: none. */
  settled: count,
  /** The round whose work it has taken on, or has answered, and whose outcome it does not know; null: none. */
  working: round.nullable(),
  /** Messages of the secure aggregation of that round that it has heard. */
  heard: count,
})
export type Known = z.output<typeof knownSchema>

/** A task whose vectors lie in blobs. */
export const offerSchema = taskSchema.omit({ vectors: true }).extend({ vectors: z.record(z.string(), blobRefSchema) })
export type Offer = z.output<typeof offerSchema>

export const noticeSchema = z.discriminatedUnion('type', [
  /** Work to do. */
  z.strictObject({
    type: z.literal('work'),
    round,
    offer: offerSchema,
    /** Rank and scale of the client's adapter where they are its own; absent: the description's. */
    adapter: z.record(z.string(), z.json()).optional(),
    /** The client's local options where they are its own; absent: the federation's. */
    local: z.record(z.string(), z.json()).optional(),
    /** Seconds until the server waits no longer; null: it waits for ever. */
    deadline: z.number().min(0).nullable(),
    /** What the secure aggregation of the round agrees on; absent: updates travel openly. */
    secure: z.record(z.string(), z.json()).optional(),
  }),
  /** A message of the secure aggregation, the `number`th of the round from 1 (protocol/secagg/messages.ts). */
  z.strictObject({ type: z.literal('secure'), round, number: round, message: base64 }),
  /** How a round that the client worked in has ended: only an answer that counted in a step is kept by the client as well. */
  z.strictObject({ type: z.literal('outcome'), round, counted: z.boolean(), why: words.optional() }),
  /** The last round has ended; nothing comes after this. */
  z.strictObject({ type: z.literal('over'), round: count, why: words.optional() }),
])
export type Notice = z.output<typeof noticeSchema>

/** An answer whose vectors lie one after the other, in ascending order of their names, in one blob. */
export const manifestSchema = z.strictObject({
  run: runIdSchema,
  answer: answerSchema.omit({ vectors: true, masked: true }),
  /** Bytes of each vector's message. */
  vectors: z.record(z.string(), count),
  /** What lies under the mask: names and lengths in order (protocol/messages.ts); the message is what the blob holds. */
  masked: z.array(z.tuple([z.string(), count])).optional(),
  /** Null when nothing travels. */
  blob: blobRefSchema.nullable(),
})
export type Manifest = z.output<typeof manifestSchema>

export const wordSchema = z.discriminatedUnion('type', [
  /** The client works on it; said again now and then as a sign of life. */
  z.strictObject({ type: z.literal('working'), round, step: count, steps: count }),
  /** Not this time: it is beyond a limit that the client has set, or not its hour. */
  z.strictObject({ type: z.literal('declined'), round, code: z.string().max(64), why: words }),
  /** It cannot: what went wrong. */
  z.strictObject({ type: z.literal('failed'), round, code: z.string().max(64), why: words }),
  /** A message of the secure aggregation. */
  z.strictObject({ type: z.literal('secure'), round, message: base64 }),
  z.strictObject({ type: z.literal('answer'), round, manifest: manifestSchema }),
])
export type Word = z.output<typeof wordSchema>

/** The same word gets the same reply, however often it is said. */
export const replySchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('taken') }),
  /** It will never count: said once is enough. */
  z.strictObject({ type: z.literal('refused'), code: z.string(), why: words }),
])
export type Reply = z.output<typeof replySchema>
