/** PEFT's adapter folder, in and out, as plain data. Nothing is ever loaded as a method that it is not. */
import { join } from 'node:path'
import type { PromptFormat } from '../../data/prompt.js'
import { listed } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { exists, replaceFile, writeTextFile } from '../../files/atomic.js'
import { readJsonObject } from '../../files/json.js'
import { findModel } from '../../files/model-source.js'
import type { TensorLayout } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { AdapterConfig } from '../adapter-options.js'
import { stringifyKeepingNumbers } from '../json-numbers.js'
import type { NamedTensors } from '../layout.js'
import { readPromptFormat, writePromptFormat } from '../remembered.js'
import type { AdapterMeaning, Modules, WrittenBase } from './method.js'
import { methods, parsePeftConfig, peftConfig } from './methods.js'
import { ownNames, spelled, spellingOf, unspelled } from './spelling.js'

const configFile = 'adapter_config.json'
const weightsFile = 'adapter_model.safetensors'

/** What a folder holds. */
export interface AdapterFolder extends AdapterMeaning {
  /** By the names of the text model. */
  tensors: NamedTensors
  /** Tensors of other parts of the multimodal model that it was trained over, in whose text part they have no place. */
  unused: string[]
  /** The format of the rows that it was trained on, when it says so. */
  promptFormat: PromptFormat | undefined
}

/** What is written: the flat vector and where each tensor lies in it. */
export interface WrittenAdapter {
  config: AdapterConfig
  targets: readonly string[]
  promptFormat: PromptFormat | undefined
  layout: readonly TensorLayout[]
  values: Float32Array
}

/** The weights of an adapter folder. */
async function adapterWeights(folder: string): Promise<string> {
  const path = join(folder, weightsFile)
  if (await exists(path)) return path
  if (await exists(join(folder, 'adapter_model.bin'))) {
    throw new FedloraError(
      'E_UNSUPPORTED',
      `'${join(folder, 'adapter_model.bin')}' is a pickle, which is not read: in Python, load the adapter and save it anew with ` +
        'save_pretrained(folder), which writes adapter_model.safetensors',
      { folder, file: 'adapter_model.bin' },
    )
  }
  throw new FedloraError('E_MISSING', `'${folder}' has no ${weightsFile}`, { folder })
}

/**
 * Reads a folder.
 * @param name - the folder, a file in it, or its id in the Hugging Face cache.
 * @throws FedloraError `E_MISSING`, `E_UNSUPPORTED`, `E_CONFIG`, `E_FORMAT`.
 */
export async function readAdapterFolder(name: string, modules: Modules): Promise<AdapterFolder> {
  const { folder } = await findModel(name, 'adapter')
  const where = join(folder, configFile)
  if (!(await exists(where)) && (await exists(join(folder, 'config.json')))) {
    throw new FedloraError('E_MISSING', `'${folder}' is a model, not an adapter: it has no ${configFile}`, {
      path: where,
    })
  }
  const raw = await readJsonObject(where, 'adapter folder')
  const promptFormat = await readPromptFormat(folder)
  const checkpoint = native().openCheckpoint([await adapterWeights(folder)])
  try {
    const entries = checkpoint.tensors()
    const names = entries.map(({ name }) => name)
    const spell = spellingOf(names, modules, folder)
    const meaning = unspelled(parsePeftConfig(raw, where, spelled(modules, spell)), modules, spell)
    const { type, tensors: known } = methods[meaning.config.method]
    const foreign = names.filter((name) => !known.test(name))
    if (foreign.length > 0) {
      throw new FedloraError(
        'E_UNSUPPORTED',
        `'${folder}' holds tensors that ${type} does not have: ${listed(foreign)}`,
        { foreign },
      )
    }
    const own = ownNames(names, modules, spell)
    const used = entries.filter(({ name }) => own.get(name) !== null)
    const tensors = new Map(used.map(({ name, shape }) => [own.get(name)!, { shape, data: checkpoint.read(name) }]))
    const unused = names.filter((name) => own.get(name) === null)
    return { ...meaning, tensors, unused, promptFormat }
  } finally {
    checkpoint.dispose()
  }
}

/** Writes a folder; each file atomically, the config last. @throws FedloraError `E_IO`. */
export async function writeAdapterFolder(
  folder: string,
  { config, targets, promptFormat, layout, values }: WrittenAdapter,
  base: WrittenBase,
): Promise<void> {
  const tensors = layout.map(({ name, shape, offset, length }) => ({
    name,
    shape,
    data: values.subarray(offset, offset + length),
  }))
  await replaceFile(join(folder, weightsFile), (temporary) =>
    native().writeSafetensors(temporary, tensors, { format: 'pt' }),
  )
  await writePromptFormat(folder, promptFormat)
  await writeTextFile(join(folder, configFile), stringifyKeepingNumbers(peftConfig(config, targets, base)))
}

/**
 * Refuses to save over an adapter of another method, which is no earlier state of this one.
 * @throws FedloraError `E_ARGUMENT`.
 */
export async function refuseForeignFolder(folder: string, method: AdapterConfig['method']): Promise<void> {
  const path = join(folder, configFile)
  if (!(await exists(path))) return
  const type = await readJsonObject(path, 'adapter folder').then(
    ({ peft_type }) => peft_type,
    () => 'unreadable',
  )
  if (type === methods[method].type) return
  throw new FedloraError(
    'E_ARGUMENT',
    `save: '${folder}' holds an adapter of another method (${String(type)}), which would be lost; choose another folder`,
    { folder },
  )
}
