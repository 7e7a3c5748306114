/** The methods by name, and `adapter_config.json` in and out: what is of every method here, the rest in the method's own file. */
import type { Json } from '../../files/json.js'
import type { AdapterConfig } from '../adapter-options.js'
import { lora } from './lora.js'
import { type AdapterMeaning, type Method, type Modules, unsupported, type WrittenBase } from './method.js'

/** The release whose folder layout is written. */
const peftVersion = '0.21.2'

/** A method is a file beside this one and a line here. */
export const methods: Readonly<Record<AdapterConfig['method'], Method>> = { lora }

/**
 * What an `adapter_config.json` means over these modules.
 * @throws FedloraError `E_UNSUPPORTED` naming the field, `E_CONFIG` for a bad value, `E_MISSING` for targets that match nothing.
 */
export function parsePeftConfig(raw: Json, where: string, modules: Modules): AdapterMeaning {
  const { peft_type: type, task_type: task } = raw
  const known = Object.values(methods)
  const method = known.find((one) => one.type === type)
  if (method === undefined) {
    unsupported(where, 'peft_type', type ?? null, `only ${known.map((one) => one.type).join(', ')} adapters load`)
  }
  if (task !== undefined && task !== null && task !== 'CAUSAL_LM') {
    unsupported(where, 'task_type', task, 'only CAUSAL_LM')
  }
  return method.read(raw, where, modules)
}

/** The `adapter_config.json` of an adapter, with every field that PEFT writes, in the order of their names. */
export function peftConfig(config: AdapterConfig, targets: readonly string[], base: WrittenBase): Json {
  const method = methods[config.method]
  const fields: Json = {
    auto_mapping: null,
    base_model_name_or_path: base.name,
    inference_mode: true,
    peft_type: method.type,
    peft_version: peftVersion,
    revision: base.revision,
    task_type: 'CAUSAL_LM',
    ...method.write(config, targets, base),
  }
  return Object.fromEntries(
    Object.keys(fields)
      .sort()
      .map((field) => [field, fields[field]]),
  )
}
