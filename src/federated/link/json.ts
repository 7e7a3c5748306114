/** Messages as bytes of JSON. */
import type { z } from 'zod'
import { FedloraError } from '../../errors.js'

export const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

/** @param what - names the message. @throws FedloraError `E_PROTOCOL` for bytes that are no such message. */
export function decode<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new FedloraError('E_PROTOCOL', `${what}: got ${bytes.length} bytes that are no JSON`, {}, error)
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const where = issue.path.join('.')
  throw new FedloraError('E_PROTOCOL', `${what}${where && `: ${where}`}: ${issue.message}`, { path: where })
}
