/**
 * A handful of answers that a worker screens and sums, and what it hands back. Plain data; an assignment holds all that a worker needs to know, and lies in
 * a blob, whose SHA-256 is its id: the same answers of a round are the same assignment, whoever makes it.
 */
import { z } from 'zod'
import { canonicalJson } from '../../files/canonical-json.js'
import { type BlobId, blobIdSchema, blobRefSchema, hashOf } from '../blobs/blob-store.js'
import { decode } from '../link/json.js'
import { manifestSchema, runIdSchema } from '../link/messages.js'
import { screeningSchema } from '../screening-options.js'
import type { Share } from '../server/shares.js'

const count = z.int().min(0)

const shareSchema: z.ZodType<Share> = z.strictObject({
  names: z.array(z.string()),
  vectors: z.record(z.string(), z.strictObject({ length: count, sum: z.string() })),
  weight: z.number(),
  inSums: z.number().nullable(),
})

export const assignmentSchema = z.strictObject({
  version: z.literal(1),
  run: runIdSchema,
  round: z.int().min(1),
  screening: screeningSchema.optional(),
  answers: z.array(z.strictObject({ manifest: manifestSchema, share: shareSchema })),
})
export type Assignment = z.output<typeof assignmentSchema>

export const doneSchema = z.strictObject({
  assignment: blobIdSchema,
  /** The exact sums of what counts, one after the other in ascending order of their names; null: there are none. */
  partial: blobRefSchema.nullable(),
  /** Bytes of each. */
  sums: z.record(z.string(), count),
  /** Clients whose answers are in them. */
  accepted: z.array(z.string()),
  refused: z.array(z.strictObject({ client: z.string(), code: z.string(), why: z.string() })),
})
export type Done = z.output<typeof doneSchema>

/** An assignment as it lies in its blob, and its id. */
export function writeAssignment(assignment: Assignment): { id: BlobId; bytes: Buffer } {
  const bytes = Buffer.from(canonicalJson(JSON.parse(JSON.stringify(assignment))), 'utf8')
  return { id: hashOf(bytes), bytes }
}

/** @throws FedloraError `E_PROTOCOL` for bytes that are none, or one of another version. */
export const readAssignment = (bytes: Uint8Array): Assignment =>
  decode(assignmentSchema, bytes, 'an assignment (of a server of another version?)')
