/**
 * Secure aggregation on a link: what a notice of work says of it, and its messages (protocol/secagg/messages.ts) as bytes. Keys of the federation's
 * registry are the identities, so that nobody speaks for another.
 */
import { z } from 'zod'
import type { FromClient, ToClient } from '../protocol/secagg/messages.js'
import type { Setup } from '../protocol/secagg/setup.js'
import { pack, unpack } from './packed.js'

const bytesOf = (length: number) =>
  z.base64().refine((text) => Buffer.from(text, 'base64').length === length, `expected ${length} bytes as base64`)

/** What a round's secure aggregation agrees on, as plain JSON. */
export const agreedSchema = z.strictObject({
  run: bytesOf(16),
  round: bytesOf(16),
  /** Ed25519 public keys of all who were asked, raw, in the order of their names. */
  identities: z.array(bytesOf(32)),
  neighbours: z.int().min(1),
  threshold: z.int().min(1),
  clip: z.number().positive(),
  bits: z.int(),
  wordBytes: z.union([z.literal(2), z.literal(4)]),
  mostWeight: z.int().min(1).nullable(),
})
export type Agreed = z.output<typeof agreedSchema>

/** What a client is told of it: `client` is its number, the place of its key. */
export const secureSchema = agreedSchema.extend({ client: z.int().min(0) })
export type Secure = z.output<typeof secureSchema>

/** All but how long updates are, which is known when there is one. */
export type SecureSetup = Omit<Setup, 'length'>

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
const bytes = (base64: string) => new Uint8Array(Buffer.from(base64, 'base64'))

export function agreedOf({ run, round, identities, ...terms }: SecureSetup): Agreed {
  return { ...terms, run: text(run), round: text(round), identities: identities.map(text) }
}

/** What a client is told. */
export const secureOf = (setup: SecureSetup, client: number): Secure => ({ ...agreedOf(setup), client })

/** What was agreed on, of its plain JSON. */
export function agreedIn({ run, round, identities, ...terms }: Agreed): SecureSetup {
  return { ...terms, run: bytes(run), round: bytes(round), identities: identities.map(bytes) }
}

export const setupOf = ({ client, ...agreed }: Secure): { setup: SecureSetup; client: number } => ({
  setup: agreedIn(agreed),
  client,
})

/** A message as a word or a notice carries it. */
export const messageText = (message: FromClient | ToClient): string => pack(message).toString('base64')

/** What a word or a notice carries; whether it is a message, the state that it is given to finds out. @throws FedloraError `E_FORMAT`. */
export const messageIn = (carried: string): unknown => unpack(Buffer.from(carried, 'base64'))
