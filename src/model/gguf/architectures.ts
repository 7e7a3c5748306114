/** llama.cpp's architectures, and the families whose layers they have. */
import { FedloraError } from '../../errors.js'

export interface Architecture {
  /** `general.architecture`, which also begins the keys of the model. */
  readonly name: string
  /** `model_type` of config.json. */
  readonly family: string
  /** Rows of q and k lie with the halves of each head interleaved. */
  readonly interleaved: boolean
  /** Where a layer's names differ from llama's. */
  readonly layerNames?: Readonly<Record<string, string>>
}

export const architectures: readonly Architecture[] = [
  { name: 'llama', family: 'llama', interleaved: true },
  { name: 'llama', family: 'mistral', interleaved: true },
  { name: 'qwen2', family: 'qwen2', interleaved: false },
  { name: 'qwen3', family: 'qwen3', interleaved: false },
]

const names = [...new Set(architectures.map(({ name }) => name))].join(', ')
const families = architectures.map(({ family }) => family).join(', ')

/**
 * The architecture that a file names.
 * @throws FedloraError `E_UNSUPPORTED`, by name.
 */
export function architectureNamed(name: string, path: string): Architecture {
  const found = architectures.find((one) => one.name === name)
  if (found !== undefined) return found
  throw new FedloraError(
    'E_UNSUPPORTED',
    `${path}: the architecture '${name}' is not read from GGUF; read are ${names}. Load the model's Hugging Face folder when its family is supported there`,
    { path, architecture: name },
  )
}

/**
 * The architecture that a family is written as.
 * @throws FedloraError `E_UNSUPPORTED`, by name.
 */
export function architectureOf(family: string): Architecture {
  const found = architectures.find((one) => one.family === family)
  if (found !== undefined) return found
  throw new FedloraError(
    'E_UNSUPPORTED',
    `the family '${family}' is not written as GGUF; written are ${families}. Merge into a folder, and convert it with llama.cpp's convert_hf_to_gguf.py`,
    { family },
  )
}
