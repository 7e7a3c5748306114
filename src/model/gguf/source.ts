/** What describes a model of llama.cpp: metadata, and which tensors there are. A file, or one that is about to be written. */
import type { GgufMetadata } from '../../gguf/metadata.js'
import type { Architecture } from './architectures.js'

export interface GgufSource {
  readonly metadata: GgufMetadata
  readonly architecture: Architecture
  /** Shapes of the tensors of all parts, by name. */
  readonly tensors: ReadonlyMap<string, readonly number[]>
  /** Numbers of a small tensor. */
  vector(name: string): ArrayLike<number>
}

/** The key of a source's architecture. */
export const keyOf = ({ architecture }: Pick<GgufSource, 'architecture'>, name: string): string =>
  `${architecture.name}.${name}`
