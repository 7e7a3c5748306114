/** What rows would look like in bytes that somebody sends: their texts and their token ids, in every encoding that one might think of. */
const swapped = (text: string) => Buffer.from(text, 'utf16le').swap16()

/** A text as base64 has it wherever it begins: without the characters that its neighbours decide. */
function base64s(text: string, encoding: 'base64' | 'base64url'): string[] {
  return [0, 1, 2].map((shift) => {
    const bytes = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)])
    const whole = bytes.subarray(0, bytes.length - (bytes.length % 3)).toString(encoding)
    return whole.slice(shift === 0 ? 0 : 4)
  })
}

const escaped = (text: string) =>
  [...text].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')

export interface Trace {
  name: string
  bytes: Buffer
}

export function tracesOfText(text: string): Trace[] {
  const trace = (name: string, bytes: string | Buffer): Trace => ({ name, bytes: Buffer.from(bytes as string) })
  return [
    trace('utf-8', text),
    trace('upper case', text.toUpperCase()),
    trace('utf-16le', Buffer.from(text, 'utf16le')),
    trace('utf-16be', swapped(text)),
    ...base64s(text, 'base64').map((part, i) => trace(`base64+${i}`, part)),
    ...base64s(text, 'base64url').map((part, i) => trace(`base64url+${i}`, part)),
    trace('hex', Buffer.from(text).toString('hex')),
    trace('HEX', Buffer.from(text).toString('hex').toUpperCase()),
    trace('percent', encodeURIComponent(text)),
    trace('escapes', escaped(text)),
    trace('backwards', [...text].reverse().join('')),
    trace('list of bytes', Buffer.from(text).join(',')),
  ]
}

const written = (ids: readonly number[], size: number, write: (buffer: Buffer, id: number, at: number) => void) => {
  const bytes = Buffer.alloc(size * ids.length)
  for (const [i, id] of ids.entries()) write(bytes, id, i * size)
  return bytes
}

/** LEB128, as Protocol Buffers have it. */
const varint = (id: number): number[] => (id < 128 ? [id] : [(id & 127) | 128, ...varint(id >>> 7)])

export function tracesOfIds(ids: readonly number[]): Trace[] {
  const lists = [',', ', ', ' ', ';', '\n'].map((between) => ({
    name: `list of ids, ${JSON.stringify(between)}`,
    bytes: Buffer.from(ids.join(between)),
  }))
  const numbers: [string, number, (buffer: Buffer, id: number, at: number) => void][] = [
    ['int16le', 2, (buffer, id, at) => buffer.writeUInt16LE(id, at)],
    ['int16be', 2, (buffer, id, at) => buffer.writeUInt16BE(id, at)],
    ['int32le', 4, (buffer, id, at) => buffer.writeInt32LE(id, at)],
    ['int32be', 4, (buffer, id, at) => buffer.writeInt32BE(id, at)],
    ['int64le', 8, (buffer, id, at) => buffer.writeBigInt64LE(BigInt(id), at)],
    ['float32le', 4, (buffer, id, at) => buffer.writeFloatLE(id, at)],
    ['float64le', 8, (buffer, id, at) => buffer.writeDoubleLE(id, at)],
  ]
  return [
    ...lists,
    ...numbers.map(([name, size, write]) => ({ name, bytes: written(ids, size, write) })),
    { name: 'varints', bytes: Buffer.from(ids.flatMap(varint)) },
  ]
}
