/** What happened in a federation, in order: the records of its journal. Plain data; whoever folds them (state.ts) has its state again. */
import { z } from 'zod'
import { blobIdSchema, blobRefSchema } from '../blobs/blob-store.js'
import { descriptionSchema, manifestSchema, offerSchema } from '../link/messages.js'
import { agreedSchema } from '../link/secure.js'
import { measuredSchema } from './judge.js'

/** Milliseconds since the epoch, by the server's clock. */
const time = z.number()
const round = z.int().min(1)
const count = z.int().min(0)
const name = z.string()
const words = z.string()
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

/** What the server has to be opened again after a round: its vectors as blobs, and its numbers. */
const checkpoint = z.strictObject({
  vectors: z.record(z.string(), blobRefSchema),
  numbers: z.record(z.string(), z.array(z.number())),
})
export type Checkpoint = z.output<typeof checkpoint>

/** Figures of a round as it is told: an event of the log. */
const report = z.record(z.string(), z.json())

/** How a client that was asked will not answer. */
const without = { at: time, round, client: name, code: z.string(), why: words }

export const recordSchema = z.discriminatedUnion('type', [
  /** The first of a journal: what the federation is. */
  z.strictObject({
    type: z.literal('run'),
    at: time,
    description: descriptionSchema,
    rules: z.record(z.string(), z.json()),
  }),
  /** A token was made for a client; only its hash is known. */
  z.strictObject({ type: z.literal('invited'), at: time, client: name, token: sha256, expires: time }),
  /** A token was used: who has this key is this client from now on. */
  z.strictObject({ type: z.literal('enrolled'), at: time, client: name, token: sha256, key: z.string() }),
  z.strictObject({ type: z.literal('revoked'), at: time, client: name }),
  /** A round begins with these clients; null: it waits for ever. */
  z.strictObject({
    type: z.literal('begin'),
    at: time,
    round,
    clients: z.array(name),
    goal: count.nullable(),
    minimum: count,
    deadline: time.nullable(),
    /** Where updates travel masked: what the round agrees on. The deadline is then that of the first phase. */
    secure: agreedSchema.optional(),
  }),
  /** What a client says in a secure aggregation, beside its masked answer: a message as it was carried. */
  z.strictObject({
    type: z.literal('said'),
    at: time,
    round,
    client: name,
    phase: z.enum(['keys', 'shares', 'signed', 'revealed']),
    message: z.base64(),
  }),
  /** A phase of a secure aggregation has ended: who has not spoken is lost. The next one has this deadline, unless the round is abandoned. */
  z.strictObject({
    type: z.literal('phase'),
    at: time,
    round,
    phase: z.enum(['keys', 'shares', 'masked', 'signed', 'revealed']),
    deadline: time.nullable(),
    abandoned: words.optional(),
  }),
  /** Without rounds: clients begin from the present version, `round` − 1, each on the offer that it stands beside; null: they are waited for for ever. */
  z.strictObject({
    type: z.literal('start'),
    at: time,
    round,
    deadline: time.nullable(),
    work: z.array(
      z.strictObject({
        clients: z.array(name),
        offer: offerSchema.omit({ client: true }),
        /** Vectors for a client that has lost what it held; absent: those of the offer do. */
        whole: offerSchema.shape.vectors.optional(),
      }),
    ),
  }),
  /** An answer counts, and waits in its blob for the end of the round. */
  z.strictObject({
    type: z.literal('accepted'),
    at: time,
    round,
    client: name,
    digest: sha256,
    manifest: manifestSchema,
    /** Without rounds: versions that have come since it began. */
    staleness: count.optional(),
  }),
  /** An answer has come, and waits in its blob for a worker that screens it. */
  z.strictObject({
    type: z.literal('received'),
    at: time,
    round,
    client: name,
    digest: sha256,
    manifest: manifestSchema,
  }),
  /** A worker has screened what was assigned to it, and summed what counts of it: sums one after the other, in ascending order of their names. */
  z.strictObject({
    type: z.literal('folded'),
    at: time,
    round,
    assignment: blobIdSchema,
    partial: blobRefSchema.nullable(),
    sums: z.record(z.string(), count),
    accepted: z.array(name),
    refused: z.array(z.strictObject({ client: name, code: z.string(), why: words })),
  }),
  /** An answer may not count. */
  z.strictObject({ type: z.literal('refused'), digest: sha256, ...without }),
  z.strictObject({ type: z.literal('failed'), ...without }),
  z.strictObject({ type: z.literal('declined'), ...without }),
  z.strictObject({ type: z.literal('deadline'), at: time, round }),
  /** Without rounds: the buffer closes with what it has, for nobody is left to fill it. */
  z.strictObject({ type: z.literal('exhausted'), at: time, round }),
  /** An operator ends the round: nothing of it counts. */
  z.strictObject({ type: z.literal('cancelled'), at: time, round, who: name }),
  /** What the round spends of a privacy budget, by account: written before anything is made of it. */
  z.strictObject({
    type: z.literal('spend'),
    at: time,
    round,
    spends: z.array(z.tuple([name, z.record(z.string(), z.number())])),
  }),
  /** The round has ended in a step: these clients' answers are in it. */
  z.strictObject({
    type: z.literal('commit'),
    at: time,
    round,
    counted: z.array(name),
    checkpoint,
    report,
    /** Bytes of the event log by then. */
    log: count,
  }),
  /** The round has ended without a step: the adapter is that of the round before. */
  z.strictObject({ type: z.literal('abandon'), at: time, round, why: words, checkpoint, report, log: count }),
  /** What the adapter after a round was measured to; null: it could not be, and why. */
  z.strictObject({
    type: z.literal('measured'),
    at: time,
    round,
    result: measuredSchema.nullable(),
    why: words.optional(),
  }),
  z.strictObject({ type: z.literal('pause'), at: time, who: name }),
  z.strictObject({ type: z.literal('resume'), at: time, who: name }),
  /** Nothing more is asked: the federation is over with what it has. */
  z.strictObject({ type: z.literal('stop'), at: time, who: name, why: words }),
])
export type Record = z.output<typeof recordSchema>
export type RecordOf<T extends Record['type']> = Extract<Record, { type: T }>
