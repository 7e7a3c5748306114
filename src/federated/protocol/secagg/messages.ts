/**
 * The messages of a secure aggregation. Plain data; the schemas are the law of the wire.
 *
 *   client  keys →        shares →        masked →            signed →            revealed →
 *   server        roster →       inbox →          survivors →          signatures →          the sum
 */
import { z } from 'zod'
import { describeValue } from '../../../errors/describe.js'
import { FedloraError } from '../../../errors.js'
import { sameBytes } from './bytes.js'

/** Raised when the meaning of a field changes. */
export const secaggVersion = 1 as const

const bytesOf = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length, `expected ${length} bytes`)
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected a Uint8Array')
const client = z.int().min(0)
const header = { version: z.literal(secaggVersion), run: bytesOf(16), round: bytesOf(16) }

/** Bytes for, of or by somebody. */
const parcelOf = (length: number) => z.strictObject({ peer: client, bytes: bytesOf(length) })
export type Parcel = z.output<ReturnType<typeof parcelOf>>

/** A place of one byte, two shares of 32, and a tag of 16. */
const sealedShares = parcelOf(1 + 32 + 32 + 16)

export const keysSchema = z.strictObject({
  ...header,
  type: z.literal('keys'),
  client,
  /** X25519: for sealing shares, and for agreeing on masks. */
  sealingKey: bytesOf(32),
  maskKey: bytesOf(32),
  /** Ed25519 over "fl/keys/v1" | run | round | le32(client) | sealingKey | maskKey. */
  signature: bytesOf(64),
})
const shares = z.strictObject({ ...header, type: z.literal('shares'), client, sealed: z.array(sealedShares) })
export const maskedSchema = z.strictObject({
  ...header,
  type: z.literal('masked'),
  client,
  /** Little-endian words. */
  words: bytes,
  /** Peers whose shares came damaged: this client cannot help with their secrets. */
  damaged: z.array(client),
})
const signed = z.strictObject({ ...header, type: z.literal('signed'), client, signature: bytesOf(64) })
const revealed = z.strictObject({
  ...header,
  type: z.literal('revealed'),
  client,
  /** Shares of survivors' seeds, and of the mask keys of those that were lost. */
  seeds: z.array(parcelOf(32)),
  maskKeys: z.array(parcelOf(32)),
})

export const fromClientSchema = z.discriminatedUnion('type', [keysSchema, shares, maskedSchema, signed, revealed])
export type FromClient = z.output<typeof fromClientSchema>

export const toClientSchema = z.discriminatedUnion('type', [
  z.strictObject({ ...header, type: z.literal('roster'), client, keys: z.array(keysSchema) }),
  z.strictObject({ ...header, type: z.literal('inbox'), client, sealed: z.array(sealedShares) }),
  z.strictObject({ ...header, type: z.literal('survivors'), client, survivors: z.array(client) }),
  z.strictObject({ ...header, type: z.literal('signatures'), client, signatures: z.array(parcelOf(64)) }),
])
export type ToClient = z.output<typeof toClientSchema>

/** A message of one type. */
export type Said<T extends FromClient['type']> = Extract<FromClient, { type: T }>
export type Told<T extends ToClient['type']> = Extract<ToClient, { type: T }>

/**
 * A message as it should be in this round.
 * @throws FedloraError `E_FORMAT` for what is no such message, `E_PROTOCOL` for one of another round.
 */
export function opened<M extends FromClient | ToClient>(
  schema: z.ZodType<M>,
  message: unknown,
  at: { run: Uint8Array; round: Uint8Array },
): M {
  const parsed = schema.safeParse(message)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const where = issue!.path.length > 0 ? `${issue!.path.join('.')}: ` : ''
    throw new FedloraError(
      'E_FORMAT',
      `a message of a secure aggregation: ${where}${issue!.message}, got ${describeValue(message)}`,
    )
  }
  const { run, round, client: from, type } = parsed.data
  if (!sameBytes(run, at.run) || !sameBytes(round, at.round)) {
    throw new FedloraError('E_PROTOCOL', `client ${from}: '${type}' belongs to another round`, { client: from, type })
  }
  return parsed.data
}

/** Bytes of a message as it would travel: what it holds of bytes, and four for a number. */
export function sizeOf(message: FromClient | ToClient): number {
  const size = (value: unknown): number => {
    if (value instanceof Uint8Array) return value.length
    if (typeof value === 'number') return 4
    if (typeof value !== 'object' || value === null) return 0
    return Object.values(value).reduce((sum: number, inner) => sum + size(inner), 0)
  }
  return size(message)
}
