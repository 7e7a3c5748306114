/** The table of families by `model_type`. A new one is a function here, once the engine can run its description. */
import { FedloraError } from '../../errors.js'
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { describeLlama } from './llama.js'
import { describeMistral } from './mistral.js'
import { describeQwen2 } from './qwen2.js'
import { describeQwen3 } from './qwen3.js'

const families: Readonly<Record<string, (config: Fields) => ModelDescription>> = {
  llama: describeLlama,
  mistral: describeMistral,
  qwen2: describeQwen2,
  qwen3: describeQwen3,
}

/** The `model_type`s that load. */
export const supportedFamilies: readonly string[] = Object.keys(families)

/**
 * Describes a model by its config's `model_type`.
 * @throws FedloraError `E_UNSUPPORTED` for another family, by name, listing those that work.
 */
export function describeFamily(config: Fields): ModelDescription {
  const type = config.string('model_type')
  const describe = Object.hasOwn(families, type) ? families[type] : undefined
  if (describe === undefined) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `${config.where}: model family '${type}' is not supported; supported are ${supportedFamilies.join(', ')}`,
      { family: type, supported: supportedFamilies },
    )
  }
  return describe(config)
}
