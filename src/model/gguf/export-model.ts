/** A model as one GGUF file, an adapter folded into its weights. */
import { stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { FedloraError } from '../../errors.js'
import { makeFolder } from '../../files/atomic.js'
import { isGgufPath, readGguf } from '../../gguf/metadata.js'
import type { GgufField, GgufPart, GgufType, NativeAdapter } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Base } from '../base.js'
import type { ModelConfig } from '../config.js'
import { readModelConfig } from '../read-config.js'
import { packedWeights } from '../stored-quantization.js'
import { type Architecture, architectureOf } from './architectures.js'
import { fileFields, modelFields, nameFields } from './fields.js'
import { text } from './keys.js'
import { checkSaid, notesOf } from './limits.js'
import { storedTensors } from './names.js'
import type { RopeKeys } from './rope.js'
import { tokenizerFields } from './tokenizer-fields.js'

/** What was written. */
export interface GgufResult {
  /** Absolute path of the file. */
  file: string
  tensors: number
  bytes: number
  /** What a reader of the file should know. */
  notes: readonly string[]
}

/**
 * The absolute path of a file that may be written.
 * @throws FedloraError `E_ARGUMENT` for a name that does not end in .gguf, a folder, or a file that is there already.
 */
export async function checkGgufOutput(output: string, doing: string, overwrite: boolean): Promise<string> {
  const file = resolve(output)
  const refuse = (why: string) => {
    throw new FedloraError('E_ARGUMENT', `${doing}: the output '${output}' ${why}`, { file })
  }
  if (!isGgufPath(file)) refuse('does not end in .gguf; a GGUF model is one file')
  const there = await stat(file).catch(() => undefined)
  if (there?.isDirectory()) refuse('is a folder; name a file')
  if (there !== undefined && !overwrite)
    refuse('is there already; choose another, or replace it with overwrite (--overwrite)')
  return file
}

/** Tensors under llama.cpp's names; norms with what the engine adds to them. */
function partsOf({ description }: ModelConfig, architecture: Architecture, { vectors }: RopeKeys): GgufPart[] {
  const roles = new Map(
    native()
      .describeTensors(description)
      .map(({ name, role }) => [name, role]),
  )
  const parts = storedTensors(description, architecture).map(({ name, stored, swap }): GgufPart => {
    const role = roles.get(name)
    const add = role === 'norm' || role === 'finalNorm' ? description.normOffset : 0
    return {
      name: stored,
      from: name,
      ...(swap && { swap }),
      ...(add !== 0 && { add }),
    }
  })
  const shared = [...vectors].map(([name, numbers]): GgufPart => ({ name, numbers }))
  const head = { name: 'output.weight', from: `${description.names.embedding}.weight` }
  return [...shared, ...parts, ...(architecture.head === 'stored' && description.tiedHead ? [head] : [])]
}

/** Of a model that is GGUF itself: every tensor and key of the file again. */
function sameParts(base: Base): GgufPart[] {
  const ours = new Map(base.config.stored!.map(({ name, stored, swap }) => [stored, { name, swap }]))
  return base.files.flatMap((file) =>
    readGguf(file).tensors.map(({ name }): GgufPart => {
      const { name: from = name, swap } = ours.get(name) ?? {}
      return { name, from, ...(swap && { swap }) }
    }),
  )
}

/** The config with what the loaded weights say of the head: a checkpoint may store one of its own where its config ties it. */
function withHeadOf({ config, memory }: Base): ModelConfig {
  const tiedHead = memory.head === 0
  return { ...config, tiedHead, description: { ...config.description, tiedHead } }
}

/**
 * Refuses a model's folder that no file could say, before its weights are read; whether it has a head of its own is not yet known then.
 * @throws FedloraError `E_UNSUPPORTED` for a family that llama.cpp has not, and for what it cannot say.
 */
export async function checkGgufModel(folder: string): Promise<void> {
  const config = await readModelConfig(folder)
  if (config.stored !== undefined) return
  const architecture = architectureOf(config.family)
  const description = { ...config.description, tiedHead: true }
  checkSaid({ ...config, description }, architecture, modelFields(config, architecture))
}

/** Keys, tensors and notes of a file. */
interface Contents {
  fields: GgufField[]
  parts: GgufPart[]
  notes: string[]
}

/** Of a model's folder. @throws FedloraError `E_UNSUPPORTED` for what llama.cpp cannot say. */
async function folderContents(base: Base): Promise<Contents> {
  const config = withHeadOf(base)
  const architecture = architectureOf(config.family)
  const keys = modelFields(config, architecture)
  checkSaid(config, architecture, keys)
  const notes = notesOf(config, architecture)
  const tokenizer = await tokenizerFields(base.path, config.vocabulary)
  if (tokenizer === undefined)
    notes.push(`'${base.path}' has no tokenizer.json: the file has no tokenizer, and takes token ids alone`)
  return {
    fields: [
      ...keys.fields,
      ...nameFields(base.name.replace(/^\.\//, ''), tokenizer),
      ...(tokenizer ?? [text('tokenizer.ggml.model', 'none')]),
    ],
    parts: partsOf(config, architecture, keys),
    notes,
  }
}

/**
 * Writes the file; see `Adapter.merge`.
 * @param file - as `checkGgufOutput` gave it.
 */
export async function mergeToGguf(
  file: string,
  base: Base,
  adapter: NativeAdapter | null,
  type: GgufType,
): Promise<GgufResult> {
  const { files, config } = base
  const own = config.stored !== undefined
  const { fields, parts, notes } = own ? { fields: [], parts: sameParts(base), notes: [] } : await folderContents(base)
  await makeFolder(dirname(file))
  const { tensors, bytes } = await native().exportGguf({
    files: [...files],
    ...(config.stored && { stored: config.stored }),
    ...packedWeights(config),
    output: file,
    type,
    fields: [...fields, ...fileFields(type)],
    keepFields: own,
    parts,
    description: withHeadOf(base).description,
    adapter,
  })
  return { file, tensors, bytes, notes }
}
