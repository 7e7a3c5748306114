/** A plain safetensors reader for tests, independent of the one under test. */
import { readFileSync } from 'node:fs'

export interface GoldenTensor {
  dtype: string
  shape: number[]
  /** F32 and F64 as they are; I64 as numbers. */
  values: Float32Array | Float64Array | Int32Array
}

export class GoldenFile {
  readonly metadata: Record<string, string>
  readonly #header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>
  readonly #data: Buffer

  constructor(path: string) {
    const file = readFileSync(path)
    const length = Number(file.readBigUInt64LE(0))
    const { __metadata__: metadata = {}, ...tensors } = JSON.parse(file.toString('utf8', 8, 8 + length))
    this.metadata = metadata
    this.#header = tensors
    this.#data = file.subarray(8 + length)
  }

  names(): string[] {
    return Object.keys(this.#header)
  }

  get(name: string): GoldenTensor {
    const entry = this.#header[name]
    if (entry === undefined) throw new Error(`no tensor ${name}`)
    const bytes = this.#data.subarray(...entry.data_offsets)
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
    return { dtype: entry.dtype, shape: entry.shape, values: numbersOf(entry.dtype, copy as ArrayBuffer) }
  }

  /** A tensor of F64 or F32 in double. */
  doubles(name: string): Float64Array {
    const { dtype, data_offsets } = this.#header[name] ?? {}
    if (data_offsets === undefined) throw new Error(`no tensor ${name}`)
    const bytes = this.#data.subarray(...data_offsets)
    const copy = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
    if (dtype === 'F64') return new Float64Array(copy)
    if (dtype === 'F32') return Float64Array.from(new Float32Array(copy))
    throw new Error(`${name} is ${dtype}`)
  }

  /** A number of the metadata, such as `f32_error.logits`. */
  bound(key: string): number {
    const value = Number(this.metadata[key])
    if (!(value >= 0)) throw new Error(`no bound ${key}`)
    return value
  }
}

function numbersOf(dtype: string, bytes: ArrayBuffer): GoldenTensor['values'] {
  if (dtype === 'I64') return Int32Array.from(new BigInt64Array(bytes), Number)
  return dtype === 'F64' ? new Float64Array(bytes) : new Float32Array(bytes)
}
