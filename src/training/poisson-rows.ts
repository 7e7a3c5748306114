/**
 * Which rows a private step draws: each by itself with the same probability, so that a draw tells of no row whether another was in it
 * (Poisson sampling; what accountants assume). The draws are a key stream's: without its key nobody can say who was drawn.
 */
import { createCipheriv } from 'node:crypto'

const piece = 1 << 16

/**
 * Indices of the rows drawn from `rows`, ascending; often fewer or more than rows × sampleRate, at times none.
 * @param sampleRate - in (0, 1], met to 2^−53.
 * @param key - 32 bytes, for one draw.
 */
export function poissonRows(rows: number, sampleRate: number, key: Uint8Array): number[] {
  const stream = createCipheriv('chacha20', key, new Uint8Array(16))
  const drawn: number[] = []
  for (let first = 0; first < rows; first += piece) {
    const count = Math.min(piece, rows - first)
    const bytes = stream.update(new Uint8Array(8 * count))
    for (let i = 0; i < count; i++) {
      const high = bytes.readUInt32LE(8 * i) >>> 5
      const low = bytes.readUInt32LE(8 * i + 4) >>> 6
      if ((high * 0x4000000 + low) / 0x20000000000000 < sampleRate) drawn.push(first + i)
    }
  }
  return drawn
}
