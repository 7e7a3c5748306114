/** LoRA as PEFT writes it: two factors a module, y = W·x + s·B·(A·x). */
import type { Json } from '../../files/json.js'
import { type AdapterConfig, parseAdapterOptions, patternValues } from '../adapter-options.js'
import { Fields } from '../fields.js'
import { float } from '../json-numbers.js'
import {
  type AdapterMeaning,
  type Method,
  type Modules,
  refuseUnknown,
  unsupported,
  type WrittenBase,
} from './method.js'
import { readTargets, targetFields } from './targets.js'

/** Initialisations that leave the base weights as they are. */
const harmlessInitialisations: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal']

/** Fields that say how the adapter was made, not what it computes. */
const informational = ['ensure_weight_tying', 'eva_config', 'megatron_core', 'qalora_group_size', 'runtime_config']

/** Fields that are read and honoured. */
const honoured = [
  'alpha_pattern',
  'bias',
  'fan_in_fan_out', // PEFT puts it right by the class of each module; no factor depends on it
  'init_lora_weights',
  'lora_alpha',
  'lora_dropout',
  'r',
  'rank_pattern',
  'use_rslora',
  ...targetFields,
]

/** Refuses every variant that the engine does not compute. */
function refuseVariants(raw: Json, where: string): void {
  if (raw.use_dora === true) unsupported(where, 'use_dora', true, 'DoRA learns a magnitude beside the two factors')
  if (raw.bias !== undefined && raw.bias !== null && raw.bias !== 'none') {
    unsupported(where, 'bias', raw.bias, "biases are frozen; expected 'none'")
  }
  if (!harmlessInitialisations.includes(raw.init_lora_weights)) {
    unsupported(where, 'init_lora_weights', raw.init_lora_weights, 'this initialisation changes the base weights')
  }
  refuseUnknown(raw, where, [...informational, ...honoured])
}

function numbers(fields: Fields, field: string): Record<string, number> {
  const object = fields.object(field)
  if (object === undefined) return {}
  for (const key of Object.keys(object.values)) object.positive(key)
  return object.values as Record<string, number>
}

function read(raw: Json, where: string, modules: Modules): AdapterMeaning {
  refuseVariants(raw, where)
  const fields = new Fields(raw, where)
  const targets = readTargets(fields, modules)
  const rankPattern = numbers(fields, 'rank_pattern')
  const alphaPattern = numbers(fields, 'alpha_pattern')
  patternValues(rankPattern, `${where}: rank_pattern`)
  patternValues(alphaPattern, `${where}: alpha_pattern`)
  const config = parseAdapterOptions({
    rank: fields.integer('r', 8),
    alpha: fields.positive('lora_alpha', 8),
    dropout: fields.has('lora_dropout') && fields.values.lora_dropout !== 0 ? fields.positive('lora_dropout') : 0,
    rsLora: fields.boolean('use_rslora', false),
    rankPattern,
    alphaPattern,
    targetModules: targets,
  })
  fields.boolean('fan_in_fan_out', false)
  return { config, targets }
}

function write(config: AdapterConfig, targets: readonly string[], { transposed }: WrittenBase): Json {
  return {
    alora_invocation_tokens: null,
    alpha_pattern: config.alphaPattern,
    arrow_config: null,
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: transposed,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: config.alpha,
    lora_bias: false,
    lora_dropout: float(config.dropout),
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    qalora_group_size: 16,
    r: config.rank,
    rank_pattern: config.rankPattern,
    target_modules: [...targets],
    target_parameters: null,
    trainable_token_indices: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: config.rsLora,
  }
}

export const lora: Method = { type: 'LORA', read, write, tensors: /\.lora_[AB]\.weight$/ }
