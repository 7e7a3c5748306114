/** GGUF files: mirror of `native/napi/gguf.cpp`. */
import type { NativeAdapter } from './adapter.js'
import type { WriteTensor } from './checkpoint.js'
import type { ModelDescription, RowSwap, StoredTensor } from './description.js'
import type { PackedWeights } from './load.js'

export type GgufElement = number | boolean | string

/** A key of the metadata. `type` is that of the elements of a list. */
export interface GgufField {
  name: string
  type:
    | 'uint8'
    | 'int8'
    | 'uint16'
    | 'int16'
    | 'uint32'
    | 'int32'
    | 'float32'
    | 'bool'
    | 'string'
    | 'uint64'
    | 'int64'
    | 'float64'
  list: boolean
  /** Absent when the list is long and was not asked for. */
  value?: GgufElement | readonly GgufElement[]
}

export interface GgufContents {
  fields: GgufField[]
  /** `type`: ggml's spelling, such as Q4_K; `shape`: the innermost extent last. */
  tensors: { name: string; type: string; shape: number[] }[]
}

/** A tensor of a file that is written: rows of a tensor of the model, or numbers of its own. */
export interface GgufPart {
  name: string
  /** The description's name of the tensor, or one that the source stores it under. */
  from?: string
  /** Of the rows of the file. */
  swap?: RowSwap
  /** Added to every number. */
  add?: number
  /** A vector, when `from` is absent. */
  numbers?: Float32Array
}

/** Types of the matrices that a file can be written with. */
export type GgufType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0'

export interface GgufExport {
  files: readonly string[]
  stored?: readonly StoredTensor[]
  packed?: PackedWeights
  output: string
  type: GgufType
  fields: readonly GgufField[]
  /** The source is a GGUF file whose keys are kept, where `fields` has no others. */
  keepFields: boolean
  parts: readonly GgufPart[]
  description: ModelDescription
  /** Added into the weights; null: the model as it is. */
  adapter: NativeAdapter | null
}

export interface NativeGguf {
  /** Only the header is read. Without `lists`, lists of more than 4,096 elements come without a value. */
  readGguf(path: string, lists: boolean): GgufContents
  /** A small plain tensor as float32. */
  readGgufVector(request: { files: readonly string[]; name: string }): Float32Array
  exportGguf(request: GgufExport): Promise<{ tensors: number; merged: number; bytes: number }>
  /** Tensors of float32 numbers. */
  writeGguf(path: string, fields: readonly GgufField[], tensors: readonly WriteTensor[]): void
}
