/** Requests of a client to its server, and their answers, as bytes. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { blobIdSchema, blobRefSchema } from '../blobs/blob-store.js'
import { encode } from '../link/json.js'
import { knownSchema, noticeSchema, wordSchema } from '../link/messages.js'

export const callSchema = z.discriminatedUnion('call', [
  /** The client's first word: its key is bound to its name, which the server's permissions prove. */
  z.strictObject({ call: z.literal('enroll'), key: z.string().max(128) }),
  z.strictObject({ call: z.literal('say'), word: wordSchema }),
  /** Put a blob where the client can read it. */
  z.strictObject({ call: z.literal('fetch'), blob: blobIdSchema }),
  /** Take a blob that the client has put into its own bucket. */
  z.strictObject({ call: z.literal('take'), ref: blobRefSchema }),
])
export type Call = z.input<typeof callSchema>

/** What a client knows, in the bucket of offers. The nonce says which offer is the answer. */
export const knownEntrySchema = z.strictObject({ nonce: z.string().max(64), known: knownSchema })
export type KnownEntry = z.output<typeof knownEntrySchema>

/** What it is told. */
export const offerEntrySchema = z.strictObject({
  nonce: z.string(),
  notice: noticeSchema.optional(),
  error: z.json().optional(),
})
export type OfferEntry = z.output<typeof offerEntrySchema>

/** An answer: what the call gave, or its error, as `coded` makes it one. */
export const answerTo = async (work: () => Promise<unknown>, coded = asCoded): Promise<Uint8Array> => {
  try {
    return encode({ value: (await work()) ?? null })
  } catch (error) {
    return encode({ error: coded(error).toJSON() })
  }
}

export function asCoded(error: unknown): FedloraError {
  if (error instanceof FedloraError) return error
  return new FedloraError('E_INTERNAL', 'the server failed; its log says why', {}, error)
}
