/** PEFT's adapter folder, in and out. What would change the method is refused by name; nothing is ever loaded as plain LoRA that is not. */
import { join } from 'node:path'
import { listed } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { exists, replaceFile, writeTextFile } from '../files/atomic.js'
import { type Json, readJsonObject } from '../files/json.js'
import { findModel } from '../files/model-source.js'
import { native } from '../native/load.js'
import { Adapter } from './adapter.js'
import {
  type AdapterConfig,
  endsWithName,
  matchTargets,
  parseAdapterOptions,
  patternValues,
  refuseOutsideBlocks,
  wholeName,
} from './adapter-options.js'
import { Fields } from './fields.js'
import { float, stringifyKeepingNumbers } from './json-numbers.js'
import type { Model } from './model.js'
import { PythonPattern } from './python-regex/match.js'
import { readPromptFormat, writePromptFormat } from './remembered.js'

/** The release whose folder layout is written. */
const peftVersion = '0.21.2'

/** Initialisations that leave the base weights as they are. */
const harmlessInitialisations: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal']

/** Fields that say where the adapter came from or how to use it, not what it computes. */
const informational = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'ensure_weight_tying',
  'eva_config',
  'inference_mode',
  'megatron_core',
  'peft_type',
  'peft_version',
  'qalora_group_size',
  'revision',
  'task_type',
  'layers_pattern',
  'runtime_config',
])

/** Fields that are read and honoured. */
const honoured = new Set([
  'alpha_pattern',
  'bias',
  'exclude_modules',
  'init_lora_weights',
  'layers_to_transform',
  'lora_alpha',
  'lora_dropout',
  'r',
  'rank_pattern',
  'target_modules',
  'use_rslora',
])

function isNeutral(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

function unsupported(where: string, field: string, value: unknown, why: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${where}: ${field} = ${JSON.stringify(value)} is not supported: ${why}`, {
    field,
    got: value,
  })
}

/** Refuses every method and variant that this engine does not compute. */
function refuseForeign(raw: Json, where: string): void {
  const type = raw.peft_type
  if (type !== 'LORA') unsupported(where, 'peft_type', type ?? null, 'only LORA adapters load')
  if (raw.use_dora === true) unsupported(where, 'use_dora', true, 'DoRA learns a magnitude beside the two factors')
  if (raw.task_type !== undefined && raw.task_type !== null && raw.task_type !== 'CAUSAL_LM') {
    unsupported(where, 'task_type', raw.task_type, 'only CAUSAL_LM')
  }
  if (raw.bias !== undefined && raw.bias !== null && raw.bias !== 'none') {
    unsupported(where, 'bias', raw.bias, "biases are frozen; expected 'none'")
  }
  if (!harmlessInitialisations.includes(raw.init_lora_weights)) {
    unsupported(where, 'init_lora_weights', raw.init_lora_weights, 'this initialisation changes the base weights')
  }
  for (const [field, value] of Object.entries(raw)) {
    if (informational.has(field) || honoured.has(field) || isNeutral(value)) continue
    unsupported(where, field, value, 'it changes what the adapter computes')
  }
}

function excludes(value: unknown, where: string): (module: string) => boolean {
  if (isNeutral(value) || value === '') return () => false
  if (typeof value === 'string') return wholeName(value, `${where}: exclude_modules`)
  if (!Array.isArray(value)) unsupported(where, 'exclude_modules', value, 'expected a list or a regular expression')
  return (module) => endsWithName(module, value as string[])
}

/**
 * PEFT's layers_to_transform: the layer's number is the first behind a name of layers_pattern (each a piece of a regular expression), or
 * behind any name but the first. Source: peft 0.21, tuners/tuners_utils.py, check_target_module_exists.
 */
function onlyLayers(fields: Fields, where: string): (module: string) => boolean {
  const value = fields.values.layers_to_transform
  const patterns = fields.values.layers_pattern ?? []
  const given = (typeof patterns === 'string' ? [patterns] : (patterns as unknown[])).filter((one) => one !== '')
  if (value === undefined || value === null) {
    if (given.length > 0) fields.fail('layers_to_transform', 'layer numbers beside layers_pattern')
    return () => true
  }
  const layers = Array.isArray(value) ? value : [value]
  if (layers.length === 0) return () => true
  if (layers.some((layer) => !Number.isInteger(layer))) fields.fail('layers_to_transform', 'layer numbers')
  if (given.some((one) => typeof one !== 'string')) fields.fail('layers_pattern', 'a name or a list of names')
  const sources = given.length === 0 ? ['.*?\\.[^.]*'] : given.map((one) => `(?:^|.*?\\.)${one}`)
  const expressions = sources.map((one) => new PythonPattern(`${one}\\.(?P<idx>\\d+)\\.`, `${where}: layers_pattern`))
  return (module) => {
    const match = expressions.map((one) => one.match(module)).find((one) => one !== undefined)
    const index = match?.group('idx')
    return index !== undefined && layers.includes(Number(index))
  }
}

/** Whether target_modules, layers_to_transform and layers_pattern mean a module of this name. */
function targeting(target: string | string[], fields: Fields, where: string): (module: string) => boolean {
  if (typeof target === 'string') {
    for (const field of ['layers_to_transform', 'layers_pattern']) {
      if (fields.has(field)) fields.fail(field, 'null where target_modules is one text, as PEFT has it')
    }
    return wholeName(target, `${where}: target_modules`)
  }
  const inLayers = onlyLayers(fields, where)
  // A module that is listed by its whole name is meant in whatever layer it is.
  return (module) => target.includes(module) || (endsWithName(module, target) && inLayers(module))
}

function numbers(fields: Fields, field: string): Record<string, number> {
  const object = fields.object(field)
  if (object === undefined) return {}
  for (const key of Object.keys(object.values)) object.positive(key)
  return object.values as Record<string, number>
}

/**
 * What an `adapter_config.json` means over these modules.
 * @throws FedloraError `E_UNSUPPORTED` naming the field, `E_CONFIG` for a bad value, `E_MISSING` for targets that match nothing.
 */
export function parsePeftConfig(
  raw: Json,
  where: string,
  modules: readonly string[],
  { head, embedding } = { head: 'lm_head', embedding: 'model.embed_tokens' },
): { config: AdapterConfig; targets: string[] } {
  refuseForeign(raw, where)
  const fields = new Fields(raw, where)
  const target = raw.target_modules ?? ['q_proj', 'v_proj'] // PEFT's own default for these families
  if (typeof target !== 'string' && !Array.isArray(target)) fields.fail('target_modules', 'a string or a list of names')
  const everything = typeof target === 'string' && target.toLowerCase() === 'all-linear'
  const isExcluded = excludes(raw.exclude_modules, where)
  const isTarget = everything ? () => true : targeting(target as string | string[], fields, where)
  const means = (module: string) => isTarget(module) && !isExcluded(module)
  if (!everything) refuseOutsideBlocks([head, embedding].filter(means), head)
  const targets = modules.filter(means)
  if (targets.length === 0) {
    if (!everything && !modules.some(isTarget)) matchTargets(Array.isArray(target) ? target : [target], modules, head)
    fields.fail('target_modules', 'at least one module that is not excluded')
  }
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
  return { config, targets }
}

/** The `adapter_config.json` of an adapter, with every field that PEFT writes. */
export function peftConfig(
  config: AdapterConfig,
  targets: readonly string[],
  base: string,
  revision: string | null = null,
): Json {
  return {
    alora_invocation_tokens: null,
    alpha_pattern: config.alphaPattern,
    arrow_config: null,
    auto_mapping: null,
    base_model_name_or_path: base,
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
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
    peft_type: 'LORA',
    peft_version: peftVersion,
    qalora_group_size: 16,
    r: config.rank,
    rank_pattern: config.rankPattern,
    revision,
    target_modules: [...targets],
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: config.rsLora,
  }
}

/** Writes a PEFT folder from a flat vector: what a run does that holds the adapter itself. */
export async function writeAdapterFolder(adapter: Adapter, values: Float32Array, folder: string): Promise<void> {
  const tensors = adapter.layout.map(({ name, shape, offset, length }) => ({
    name,
    shape,
    data: values.subarray(offset, offset + length),
  }))
  await replaceFile(join(folder, 'adapter_model.safetensors'), (temporary) =>
    native().writeSafetensors(temporary, tensors, { format: 'pt' }),
  )
  const { config, targets, model } = adapter
  await writePromptFormat(folder, adapter.promptFormat)
  await writeTextFile(
    join(folder, 'adapter_config.json'),
    stringifyKeepingNumbers(peftConfig(config, targets, model.name, model.revision)),
  )
}

/** Another method's adapter is no earlier state of this one. */
async function refuseForeignAdapter(folder: string): Promise<void> {
  const path = join(folder, 'adapter_config.json')
  if (!(await exists(path))) return
  const type = await readJsonObject(path, 'adapter folder').then(
    ({ peft_type }) => peft_type,
    () => 'unreadable',
  )
  if (type === 'LORA') return
  throw new FedloraError(
    'E_ARGUMENT',
    `save: '${folder}' holds an adapter of another method (${String(type)}), which would be lost; choose another folder`,
    { folder },
  )
}

/** Writes a PEFT folder; see `Adapter.save`. */
export async function saveAdapter(adapter: Adapter, folder: string): Promise<void> {
  await refuseForeignAdapter(folder)
  await writeAdapterFolder(adapter, adapter.vector(), folder)
}

/** The weights of an adapter folder. */
async function adapterWeights(folder: string): Promise<string> {
  const path = join(folder, 'adapter_model.safetensors')
  if (await exists(path)) return path
  if (await exists(join(folder, 'adapter_model.bin'))) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `'${join(folder, 'adapter_model.bin')}' is a pickle, which is not read: in Python, load the adapter and save it anew with ` +
        'save_pretrained(folder), which writes adapter_model.safetensors',
      { folder, file: 'adapter_model.bin' },
    )
  }
  throw new FedloraError('E_MISSING', `'${folder}' has no adapter_model.safetensors`, { folder })
}

/**
 * Reads a PEFT folder over a model; see `Model.loadAdapter`.
 * @throws FedloraError `E_MISSING`, `E_UNSUPPORTED`, `E_CONFIG`, `E_SHAPE`, `E_NONFINITE`, `E_FORMAT`.
 */
export async function loadAdapter(model: Model, name: string): Promise<Adapter> {
  const { folder } = await findModel(name, 'adapter')
  const where = join(folder, 'adapter_config.json')
  if (!(await exists(where)) && (await exists(join(folder, 'config.json')))) {
    throw new FedloraError('E_MISSING', `'${folder}' is a model, not an adapter: it has no adapter_config.json`, {
      path: where,
    })
  }
  const raw = await readJsonObject(where, 'adapter folder')
  const { config, targets } = parsePeftConfig(raw, where, model.linears, model.config.description.names)
  const promptFormat = await readPromptFormat(folder)
  const checkpoint = native().openCheckpoint([await adapterWeights(folder)])
  const adapter = new Adapter(model, config, targets)
  try {
    const entries = checkpoint.tensors()
    const foreign = entries.map(({ name }) => name).filter((name) => !/\.lora_[AB]\.weight$/.test(name))
    if (foreign.length > 0) {
      throw new FedloraError(
        'E_UNSUPPORTED',
        `'${folder}' holds tensors that are no LoRA factors: ${listed(foreign)}`,
        { foreign },
      )
    }
    adapter.load(new Map(entries.map(({ name, shape }) => [name, { shape, data: checkpoint.read(name) }])))
    adapter.promptFormat = promptFormat
    return adapter
  } catch (error) {
    adapter.dispose()
    throw error
  } finally {
    checkpoint.dispose()
  }
}
