/**
 * Plain data with bytes in it, as one run of bytes:
 *
 *   a line of JSON in which { "$bytes": n } stands for n bytes, then those bytes, in the order in which they stand in the line
 */
import { FedloraError } from '../../errors.js'

const mark = '$bytes'

/** @param value - of objects, lists, numbers, texts, null and Uint8Array. */
export function pack(value: unknown): Buffer {
  const parts: Uint8Array[] = []
  const plain = (given: unknown): unknown => {
    if (given instanceof Uint8Array) {
      parts.push(given)
      return { [mark]: given.length }
    }
    if (Array.isArray(given)) return given.map(plain)
    if (typeof given !== 'object' || given === null) return given
    return Object.fromEntries(Object.entries(given).map(([key, inner]) => [key, plain(inner)]))
  }
  const line = JSON.stringify(plain(value))
  return Buffer.concat([Buffer.from(`${line}\n`), ...parts])
}

/** @throws FedloraError `E_FORMAT` for what `pack` does not give. */
export function unpack(bytes: Uint8Array): unknown {
  const refuse = (what: string, cause?: unknown) => new FedloraError('E_FORMAT', `packed data: ${what}`, {}, cause)
  const end = bytes.indexOf(10)
  if (end < 0) throw refuse('its first line does not end')
  let at = end + 1
  const filled = (_: string, value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, mark)) return value
    const length = (value as Record<string, unknown>)[mark] as number
    if (!Number.isInteger(length) || length < 0 || length > bytes.length - at)
      throw refuse(`${length} bytes are not there`)
    at += length
    return bytes.slice(at - length, at)
  }
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('utf8'), filled)
  } catch (error) {
    throw error instanceof FedloraError ? error : refuse('its first line is no JSON', error)
  }
  if (at !== bytes.length) throw refuse(`${bytes.length - at} bytes too many`)
  return value
}
