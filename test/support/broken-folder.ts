/** A copy of a golden model folder to be broken in one place at a time. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { goldenRoot } from './golden-model.js'
import { temporaryFolder } from './train.js'

/** One tensor of a safetensors header. */
export interface HeaderEntry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}

export type Header = Record<string, HeaderEntry>

export class BrokenFolder {
  readonly path: string
  readonly #config: Record<string, unknown>
  readonly #header: Header & { __metadata__?: unknown }
  readonly #data: Buffer
  readonly #files: string[] = []

  constructor(family = 'llama') {
    this.path = temporaryFolder(`broken-${family}`)
    cpSync(join(goldenRoot, family), this.path, { recursive: true })
    this.#config = JSON.parse(readFileSync(join(this.path, 'config.json'), 'utf8'))
    const file = readFileSync(join(this.path, 'model.safetensors'))
    const length = Number(file.readBigUInt64LE(0))
    this.#header = JSON.parse(file.toString('utf8', 8, 8 + length))
    this.#data = file.subarray(8 + length)
  }

  file(name: string): string {
    return join(this.path, name)
  }

  /** Everything as it was. */
  mend(): void {
    for (const name of this.#files.splice(0)) rmSync(this.file(name), { recursive: true, force: true })
    this.config({})
    this.weights()
  }

  write(name: string, content: string | Buffer): void {
    this.#files.push(name)
    writeFileSync(this.file(name), content)
  }

  /** Writes config.json with these changes; undefined removes a field. */
  config(changes: object): void {
    writeFileSync(this.file('config.json'), JSON.stringify({ ...this.#config, ...changes }))
  }

  /** The bytes of a weight file whose header and data were changed. */
  bytes(change?: (header: Header, data: Buffer) => Buffer | undefined): Buffer {
    const header = structuredClone(this.#header)
    const copy = Buffer.from(this.#data)
    const data = change?.(header, copy) ?? copy
    return BrokenFolder.assemble(JSON.stringify(header), data)
  }

  /** A safetensors file of a header text and data; `claimed` is the header's length as the file says it. */
  static assemble(header: string, data: Buffer, claimed?: bigint): Buffer {
    const text = Buffer.from(header)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(claimed ?? BigInt(text.length))
    return Buffer.concat([length, text, data])
  }

  weights(change?: (header: Header, data: Buffer) => Buffer | undefined): void {
    writeFileSync(this.file('model.safetensors'), this.bytes(change))
  }

  /** The weights in shards, with an index; `index` is written as it is when given. */
  shards(names: string[], index?: unknown): void {
    const { __metadata__: _, ...header } = this.#header
    const tensors = Object.entries<HeaderEntry>(header)
    const map: Record<string, string> = {}
    const parts = names.map((name, shard) => {
      const own = tensors.filter((_, i) => i % names.length === shard)
      const header: Header = {}
      const pieces: Buffer[] = []
      let offset = 0
      for (const [tensor, entry] of own) {
        const piece = this.#data.subarray(...entry.data_offsets)
        header[tensor] = { ...entry, data_offsets: [offset, offset + piece.length] }
        offset += piece.length
        pieces.push(piece)
        map[tensor] = name
      }
      return BrokenFolder.assemble(JSON.stringify(header), Buffer.concat(pieces))
    })
    rmSync(this.file('model.safetensors'), { force: true })
    for (const [i, name] of names.entries()) this.write(name, parts[i]!)
    this.write(
      'model.safetensors.index.json',
      typeof index === 'string' ? index : JSON.stringify(index ?? { weight_map: map }),
    )
  }

  remove(): void {
    rmSync(this.path, { recursive: true })
  }
}
