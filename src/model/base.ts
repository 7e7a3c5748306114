/** The model below, as far as an adapter, its folder and a merged copy need it. `Model` is one. */
import type { ModelMemory, NativeModel } from '../native/binding.js'
import type { Handle } from '../native/handle.js'
import type { ModelConfig } from './config.js'

export interface Base {
  /** The folder, or the GGUF file, that it was loaded from. */
  readonly path: string
  /** The weight files. */
  readonly files: readonly string[]
  /** What adapters saved over it call their base. */
  readonly name: string
  /** The revision it was asked for by (`org/name@revision`). */
  readonly revision: string | null
  readonly config: ModelConfig
  readonly memory: Readonly<ModelMemory>
  readonly options: { readonly threads: number }
  readonly handle: Handle<NativeModel>
}
