/**
 * Records as they lie in a file, those together that were appended together:
 *
 *   u32 length of the body · u32 CRC-32C · body: the canonical JSON of an array of records, UTF-8      (little-endian)
 *
 * The check sum goes over the length and the body and continues that of the frame before, so that frames that were left out, repeated or
 * put elsewhere are seen. One frame is written and flushed at a time: at most the last of a journal has not been acknowledged.
 */
import { canonicalJson } from '../../files/canonical-json.js'
import { crc32c } from '../../files/crc32c.js'

const frameHeadBytes = 8
/** Bytes of the longest body. */
export const maximumBody = 1 << 24

export interface Frame {
  readonly records: readonly unknown[]
  /** Where the next one begins. */
  readonly end: number
  readonly checksum: number
}

/** The JSON of records that are appended together, without the brackets around them. */
export function recordsText(records: readonly unknown[]): string {
  return records.map((record, i) => canonicalJson(record, `records[${i}]`)).join(',')
}

/** A frame of the texts of several appends. */
export function encodeFrame(texts: readonly string[], previous: number): { bytes: Buffer; checksum: number } {
  const body = Buffer.from(`[${texts.join(',')}]`)
  const bytes = Buffer.alloc(frameHeadBytes + body.length)
  bytes.writeUInt32LE(body.length, 0)
  body.copy(bytes, frameHeadBytes)
  const checksum = crc32c(body, crc32c(bytes.subarray(0, 4), previous))
  bytes.writeUInt32LE(checksum, 4)
  return { bytes, checksum }
}

/** The frame at a byte; undefined when none is there that is whole and follows the check sum of the one before. */
export function decodeFrame(bytes: Buffer, at: number, previous: number): Frame | undefined {
  const body = bodyAt(bytes, at)
  if (body === undefined) return undefined
  const checksum = bytes.readUInt32LE(at + 4)
  if (checksumAt(bytes, at, body, previous) !== checksum) return undefined
  try {
    const records: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    return Array.isArray(records) ? { records, end: at + frameHeadBytes + body.length, checksum } : undefined
  } catch {
    return undefined
  }
}

/**
 * Whether a whole frame lies behind the broken one at `at`: then that one had been acknowledged, because nothing is written behind what has
 * not. Its check sum continues the one that is written in the broken frame, or the one that should be.
 */
export function followsBroken(bytes: Buffer, at: number, previous: number): boolean {
  if (at + frameHeadBytes > bytes.length) return false
  const sums = [bytes.readUInt32LE(at + 4)]
  const broken = bodyAt(bytes, at)
  if (broken !== undefined) sums.push(checksumAt(bytes, at, broken, previous))
  for (let next = at + 1; next + frameHeadBytes < bytes.length; next++) {
    const body = bodyAt(bytes, next)
    if (body === undefined || body[0] !== 0x5b || body.at(-1) !== 0x5d) continue // [ and ]
    if (sums.some((sum) => checksumAt(bytes, next, body, sum) === bytes.readUInt32LE(next + 4))) return true
  }
  return false
}

function bodyAt(bytes: Buffer, at: number): Buffer | undefined {
  if (at + frameHeadBytes > bytes.length) return undefined
  const length = bytes.readUInt32LE(at)
  const end = at + frameHeadBytes + length
  return length > maximumBody || end > bytes.length ? undefined : bytes.subarray(at + frameHeadBytes, end)
}

function checksumAt(bytes: Buffer, at: number, body: Buffer, previous: number): number {
  return crc32c(body, crc32c(bytes.subarray(at, at + 4), previous))
}
