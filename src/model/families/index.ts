/** The table of families by `model_type`. A new one is a function here, once the engine can run its description. */
import { FedloraError } from '../../errors.js'
import type { ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { describeBloom } from './bloom.js'
import { describeGemma, describeGemma2, describeGemma3 } from './gemma.js'
import { describeGPTNeoX } from './gpt-neox.js'
import { describeGPT2 } from './gpt2.js'
import { describeGranite } from './granite.js'
import { describeLlama } from './llama.js'
import { describeMinistral3, describeMistral } from './mistral.js'
import { describeOlmo2, describeOlmo3 } from './olmo.js'
import { describeOPT } from './opt.js'
import { describePhi } from './phi.js'
import { describePhi3 } from './phi3.js'
import { describeQwen2 } from './qwen2.js'
import { describeQwen3 } from './qwen3.js'
import { describeSmolLM3 } from './smollm3.js'
import { describeStarcoder2 } from './starcoder2.js'
import { refuseUnread } from './unread.js'

const families: Readonly<Record<string, (config: Fields) => ModelDescription>> = {
  bloom: describeBloom,
  gemma: describeGemma,
  gemma2: describeGemma2,
  gemma3_text: describeGemma3,
  gpt2: describeGPT2,
  gpt_neox: describeGPTNeoX,
  granite: describeGranite,
  llama: describeLlama,
  ministral3: describeMinistral3,
  mistral: describeMistral,
  olmo2: describeOlmo2,
  olmo3: describeOlmo3,
  opt: describeOPT,
  phi: describePhi,
  phi3: describePhi3,
  qwen2: describeQwen2,
  qwen3: describeQwen3,
  smollm3: describeSmolLM3,
  starcoder2: describeStarcoder2,
}

/** The `model_type`s that load. */
export const supportedFamilies: readonly string[] = Object.keys(families)

/**
 * Describes a model by its config's `model_type`.
 * @throws FedloraError `E_UNSUPPORTED` for another family, by name, listing those that work, and for a field that would change the mathematics
 * and that the family does not know.
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
  const description = describe(config)
  refuseUnread(config, description.family)
  return description
}
