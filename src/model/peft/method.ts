/** A method of PEFT's, and the refusals that all share: what would change the method is refused by name. */
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import type { AdapterConfig } from '../adapter-options.js'

/** The modules of a model that a config speaks of. */
export interface Modules {
  /** Those that an adapter may sit on, in forward order. */
  readonly linears: readonly string[]
  /** Those that PEFT takes for linear and that none may sit on. */
  readonly head: string
  readonly embedding: string
  /** `model_type` of the multimodal model whose text part this is. */
  readonly textOf?: string
}

/** What an `adapter_config.json` means over a model. */
export interface AdapterMeaning {
  config: AdapterConfig
  /** The adapted modules, in forward order. */
  targets: string[]
}

/** The base of an adapter, as far as its config depends on it. */
export interface WrittenBase {
  readonly name: string
  readonly revision: string | null
  /** Its linear weights are stored [in, out]. */
  readonly transposed: boolean
}

export interface Method {
  /** `peft_type` of its configs. */
  readonly type: string
  /**
   * What a config means; `where` is its file, for messages.
   * @throws FedloraError `E_UNSUPPORTED` naming the field, `E_CONFIG` for a bad value, `E_MISSING` for targets that match nothing.
   */
  read(raw: Json, where: string, modules: Modules): AdapterMeaning
  /** The fields that PEFT writes for it, but those of every method. */
  write(config: AdapterConfig, targets: readonly string[], base: WrittenBase): Json
  /** Names of its tensors. */
  readonly tensors: RegExp
}

/** Fields of every method that say where an adapter came from or how to use it, not what it computes. */
const informational = [
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'peft_type',
  'peft_version',
  'revision',
  'task_type',
]

export function unsupported(where: string, field: string, value: unknown, why: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${where}: ${field} = ${JSON.stringify(value)} is not supported: ${why}`, {
    field,
    got: value,
  })
}

/** True of what a field holds that asks for nothing. */
export function isNeutral(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** Refuses a field that asks for something and is not among those that the method knows. */
export function refuseUnknown(raw: Json, where: string, known: readonly string[]): void {
  for (const [field, value] of Object.entries(raw)) {
    if (informational.includes(field) || known.includes(field) || isNeutral(value)) continue
    unsupported(where, field, value, 'it changes what the adapter computes')
  }
}
