/** What a client is about to send, for a person to see, or a program to judge, before a byte of it leaves. */
import { z } from 'zod'

const count = z.int().min(0)

export const outgoingSchema = z.strictObject({
  round: z.int().min(1),
  /** Bytes that travel: of the file, if there is one. */
  bytes: count,
  /** How vectors are encoded. */
  codec: z.string(),
  /** Name, values and bytes of each vector, in ascending order of the names. */
  vectors: z.array(z.strictObject({ name: z.string(), length: count, bytes: count })),
  /** 2-norm over all vectors together, before encoding. */
  norm: z.number(),
  /** Whether a mask lies over it that only the sum of all clients takes off. */
  masked: z.boolean(),
  /** What travels beside the vectors. */
  rows: count,
  steps: count,
  tokens: count,
  loss: z.number().nullable(),
  numbers: z.record(z.string(), z.array(z.number())),
})
/** What is about to be sent. */
export type Outgoing = z.output<typeof outgoingSchema>
