/** The bytes that are signed, derived from and authenticated: a tag, run, round, and numbers of 32 bits, little-endian. */

export function le32(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * numbers.length)
  for (const [i, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * i)
  return bytes
}

/** tag | run | round | numbers. */
export function tagged(tag: string, at: { run: Uint8Array; round: Uint8Array }, ...numbers: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from(tag, 'latin1'), at.run, at.round, le32(...numbers)])
}

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

export const isBytes = (value: unknown, length: number): value is Uint8Array =>
  value instanceof Uint8Array && value.length === length
