/**
 * A message of float32 values that are all NaN, with the header and checksums of a sound one: what an encoder refuses to write, and a server must
 * refuse to count. The layout is that of `native/compression/wire.h`: 40 bytes of header, whose last 8 are the checksums of body and header.
 */
import { crc32c } from '../../../files/crc32c.js'
import type { AttackOptions } from '../../attacker-options.js'
import { encodeVector } from '../../vector-message.js'
import type { Attack } from './attack.js'

const headerBytes = 40
const segmentBytes = 4096

/** CRC32C over the CRC32Cs of the body's segments. */
function bodyChecksum(body: Uint8Array): number {
  const segments = Math.ceil(body.length / segmentBytes)
  const checksums = new DataView(new ArrayBuffer(4 * segments))
  for (let i = 0; i < segments; i++) {
    checksums.setUint32(4 * i, crc32c(body.subarray(i * segmentBytes, (i + 1) * segmentBytes)), true)
  }
  return crc32c(new Uint8Array(checksums.buffer))
}

/** The message of as many NaNs. */
export function nanMessage(length: number): Uint8Array {
  const message = encodeVector(new Float32Array(length))
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  for (let i = 0; i < length; i++) view.setFloat32(headerBytes + 4 * i, Number.NaN, true)
  view.setUint32(32, bodyChecksum(message.subarray(headerBytes)), true)
  view.setUint32(36, crc32c(message.subarray(0, 36)), true)
  return message
}

export const nan: Attack<AttackOptions<'nan'>> = {
  source: 'Blanchard et al. 2017, Machine learning with adversaries: one vector that is no number spoils every mean',
  forges: (message) => nanMessage(new DataView(message.buffer, message.byteOffset).getUint32(8, true)),
}
