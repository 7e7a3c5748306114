/**
 * The model and the adapter that a command line and its config ask for. Plans are made and checked before anything is loaded, so that a
 * mistake shows at once and is a usage error; then they are opened, rows before the model, which takes longest.
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { z } from 'zod'
import type { Dataset } from '../data/index.js'
import { listed } from '../errors/describe.js'
import { findModel } from '../files/model-source.js'
import { isGgufPath } from '../gguf/metadata.js'
import type { Adapter } from '../model/adapter.js'
import { adapterOptionsSchema } from '../model/adapter-options.js'
import { loadModel } from '../model/load.js'
import type { Model } from '../model/model.js'
import { checkBaseFormat } from '../model/model-options.js'
import { checkOutputFolder } from '../model/output-folder.js'
import { readModelConfig } from '../model/read-config.js'
import { partsOf } from '../model/text-part.js'
import type { FlagValues } from './arguments.js'
import { type Config, section, text, usage } from './command.js'
import type { Output } from './output.js'
import { modelSchema } from './sections.js'
import { UsageError } from './usage.js'

export interface ModelPlan {
  path: string
  /** A PEFT folder to start from; undefined: a new adapter, or none. */
  adapter: string | undefined
  options: Omit<z.output<typeof modelSchema>, 'path' | 'adapter'>
}

/** The model of the section `model`, `--model` and `--adapter`. */
export async function planModel(flags: FlagValues, config: Config): Promise<ModelPlan> {
  const given = { path: text(flags, 'model'), adapter: text(flags, 'adapter'), device: text(flags, 'device') }
  const { path, adapter, ...options } = section(modelSchema, 'model', config, given)
  if (path === undefined) throw new UsageError('no model: give --model DIR, or model.path in the config file')
  await usage(() => checkBaseFormat(options, 'model'))
  if (adapter !== undefined) await findModel(adapter, 'adapter')
  return { path, adapter, options }
}

/** Where a model lies: its folder, or its GGUF file. */
export async function modelPlace(name: string): Promise<string> {
  const { folder, file } = await findModel(name)
  return file !== undefined && isGgufPath(file) ? file : folder
}

/** The folder of `--output` for a model made from that of `--model`; one that must not be written to is a usage error. */
export async function openOutput(flags: FlagValues, doing: string, overwrite: boolean): Promise<string> {
  const { folder } = await findModel(text(flags, 'model')!)
  return await usage(() => checkOutputFolder(text(flags, 'output')!, doing, overwrite, folder))
}

/** Says which tensors are left out: of a multimodal checkpoint all but its text part, which is an event `notice` as well. */
function tellUnused({ unusedTensors: unused, config }: Model, output: Output | undefined): void {
  if (config.textOf !== undefined) {
    const parts = [...partsOf(unused)].map(([name, tensors]) => ({ name, tensors }))
    const { family, textOf } = config
    output?.event({
      type: 'notice',
      notice: 'text part',
      model: textOf,
      family,
      leftOut: parts,
      tensors: unused.length,
    })
    const left = parts.map(({ name, tensors }) => `${name} (${tensors})`).join(', ')
    output?.note(
      `a multimodal model (${textOf}): its text part (${family}) is loaded, ${unused.length} tensors are left out${left && `: ${left}`}`,
    )
  } else if (unused.length > 0) {
    output?.note(`the model has no use for ${unused.length} of the stored tensors: ${listed(unused)}`)
  }
}

/** Loads an adapter, telling which of its tensors have no place in the text part of a multimodal model. */
export async function loadTold(model: Model, folder: string, output?: Pick<Output, 'note'>): Promise<Adapter> {
  const adapter = await model.loadAdapter(folder)
  const { unusedTensors: unused } = adapter
  if (unused.length > 0)
    output?.note(
      `the adapter '${folder}' was trained over a whole multimodal model: ${unused.length} tensors outside its text part are left out: ${listed(unused)}`,
    )
  return adapter
}

/** Loads the model, telling how far that is; first, data sets that cannot fit it are refused. */
export async function loadPlanned(
  { path, options }: ModelPlan,
  output?: Output,
  ...data: readonly (Dataset | undefined)[]
): Promise<Model> {
  if (data.length > 0) {
    const { maxPositions } = await readModelConfig(path)
    await usage(() => {
      for (const rows of data) rows?.checkLength(maxPositions)
    })
  }
  output?.phase('loading model')
  const onProgress = ({ loaded, total }: { loaded: number; total: number }) => {
    const percent = `${Math.floor((100 * loaded) / total)} %`
    const event = { phase: 'loading model', done: loaded, total }
    output?.status({ label: `loading model ${percent}`, event })
  }
  try {
    const model = await loadModel(path, { ...options, onProgress })
    tellUnused(model, output)
    return model
  } finally {
    output?.endProgress()
  }
}

/** The adapter of the plan; undefined: the base model alone. */
export async function openOwnAdapter(
  model: Model,
  { adapter }: ModelPlan,
  output?: Output,
): Promise<Adapter | undefined> {
  return adapter === undefined ? undefined : await loadTold(model, adapter, output)
}

/** The adapter of the plan, or a new one by the section `adapter`. */
export async function openAdapter(model: Model, plan: ModelPlan, config: Config, output: Output): Promise<Adapter> {
  if (plan.adapter === undefined) return model.createAdapter(section(adapterOptionsSchema, 'adapter', config))
  if (config.adapter !== undefined)
    output.note(`the section adapter is for new adapters; '${plan.adapter}' has its own`)
  return await loadTold(model, plan.adapter, output)
}

/** A place on disk as an absolute path; what is no place, such as a model's name, as it stands. */
export function absolute(path: string): string {
  return existsSync(path) || /[*?]/.test(path) ? resolve(path) : path
}
