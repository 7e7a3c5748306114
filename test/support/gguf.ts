/** GGUF files for tests, made of others by their bytes: an independent reader of where the parts of a file lie. */
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

export const ggufRoot = resolve('test/golden/gguf')
export const ggufFile = (name: string): string => join(ggufRoot, `${name}.gguf`)

/** Sizes of one element of each type of value; strings and lists have their own. */
const sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const stringType = 8
const listType = 9

export interface Layout {
  /** Key by key: its name and all its bytes. */
  keys: Map<string, Buffer>
  /** Tensor by tensor: its description up to the offset, and its data. */
  tensors: { name: string; head: Buffer; data: Buffer }[]
}

/** Takes a file of alignment 32 apart. */
export function takeApart(path: string): Layout {
  const file = readFileSync(path)
  let place = 8
  const take = (bytes: number) => {
    const taken = file.subarray(place, place + bytes)
    place += bytes
    return taken
  }
  const whole = () => Number(take(8).readBigUInt64LE())
  const text = () => take(whole()).toString()
  const skip = (type: number): void => {
    if (type === stringType) text()
    else if (type === listType) {
      const element = take(4).readUInt32LE()
      for (let left = whole(); left > 0; left--) skip(element)
    } else take(sizes[type]!)
  }
  const count = whole()
  const keys = new Map<string, Buffer>()
  for (let left = whole(); left > 0; left--) {
    const begin = place
    const name = text()
    skip(take(4).readUInt32LE())
    keys.set(name, file.subarray(begin, place))
  }
  const found: { name: string; head: Buffer; offset: number }[] = []
  for (let left = count; left > 0; left--) {
    const begin = place
    const name = text()
    place += 4 + 8 * file.readUInt32LE(place) + 4
    found.push({ name, head: file.subarray(begin, place), offset: whole() })
  }
  const data = file.subarray(Math.ceil(place / 32) * 32)
  const tensors = found.map(({ name, head, offset }, i) => ({
    name,
    head,
    data: data.subarray(offset, found[i + 1]?.offset ?? data.length),
  }))
  return { keys, tensors }
}

const number = (bytes: 2 | 4 | 8, value: number): Buffer => {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntLE(value, 0, Math.min(bytes, 6))
  return buffer
}
const string = (text: string): Buffer => Buffer.concat([number(8, Buffer.byteLength(text)), Buffer.from(text)])

/** A key of type uint32, string or uint16 as a file has it. */
export function keyBytes(name: string, value: number | string, type: 'uint16' | 'uint32' = 'uint32'): Buffer {
  if (typeof value === 'string') return Buffer.concat([string(name), number(4, stringType), string(value)])
  return Buffer.concat([string(name), number(4, type === 'uint16' ? 2 : 4), number(type === 'uint16' ? 2 : 4, value)])
}

/** Puts a file together; `changes` replaces keys or, with null, takes them away. */
export function putTogether(
  path: string,
  { keys, tensors }: Layout,
  changes: Record<string, Buffer | null> = {},
): string {
  const all = new Map<string, Buffer | null>([...keys, ...Object.entries(changes)])
  const fields = [...all.values()].filter((bytes) => bytes !== null)
  let offset = 0
  const heads = tensors.map(({ head, data }) => {
    const bytes = Buffer.concat([head, number(8, offset)])
    offset += Math.ceil(data.length / 32) * 32
    return bytes
  })
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    number(4, 3),
    number(8, tensors.length),
    number(8, fields.length),
    ...fields,
    ...heads,
  ])
  const padded = (bytes: Buffer) =>
    Buffer.concat([bytes, Buffer.alloc(Math.ceil(bytes.length / 32) * 32 - bytes.length)])
  writeFileSync(path, Buffer.concat([padded(header), ...tensors.map(({ data }) => padded(data))]))
  return path
}

/** A golden file under another name with some keys changed. */
export function changed(folder: string, name: string, changes: Record<string, Buffer | null>): string {
  return putTogether(join(folder, `${basename(name)}.gguf`), takeApart(ggufFile(name)), changes)
}

/** A golden file as `count` parts, keys in the first alone, as gguf-split lays them; the path of the first. */
export function split(folder: string, name: string, count: number): string {
  const { keys, tensors } = takeApart(ggufFile(name))
  const each = Math.ceil(tensors.length / count)
  const of = String(count).padStart(5, '0')
  const paths = Array.from({ length: count }, (_, i) => {
    const own = {
      'split.no': keyBytes('split.no', i, 'uint16'),
      'split.count': keyBytes('split.count', count, 'uint16'),
      'split.tensors.count': keyBytes('split.tensors.count', tensors.length),
    }
    const path = join(folder, `${name}-${String(i + 1).padStart(5, '0')}-of-${of}.gguf`)
    return putTogether(
      path,
      { keys: i === 0 ? keys : new Map(), tensors: tensors.slice(i * each, (i + 1) * each) },
      own,
    )
  })
  return paths[0]!
}
